//! Which symbol is which kind of work.
//!
//! A sample inside the kernel is told by the way in: the first of [`KERNEL`] that one of its kernel frames begins with, so
//! that a lock taken for a socket counts as the socket's. One outside is told by the function it is in, after inlining: the
//! first of [`USER`] that it contains. What is in none is [`OTHER`].

/// What is in no table.
pub const OTHER: &str = "other";

/// Kinds in the order of the report.
pub const ORDER: [&str; 12] = [
    "AEAD",
    "HMAC and SHA",
    "kernel: socket read",
    "kernel: socket write",
    "kernel: epoll",
    "locks, futex, scheduling",
    "kernel: file",
    "allocator",
    "memory copy",
    "SQLite",
    "tokio",
    "Winze",
];

/// Frames inside the kernel, and their kind. What wakes others is scheduling, whoever does it; so these are first. A switch of
/// threads in the middle of a call is the call's.
pub const KERNEL: [(&str, &[&str]); 7] = [
    (
        "locks, futex, scheduling",
        &[
            "do_futex",
            "__x64_sys_futex",
            "eventfd_write",
            "__x64_sys_sched_yield",
            "__x64_sys_nanosleep",
            "__x64_sys_clock_nanosleep",
        ],
    ),
    (
        "kernel: socket read",
        &["__x64_sys_recv", "__sys_recv", "sock_read_iter"],
    ),
    (
        "kernel: socket write",
        &["__x64_sys_send", "__sys_send", "sock_write_iter"],
    ),
    ("kernel: epoll", &["__x64_sys_epoll", "do_epoll"]),
    (
        "kernel: file",
        &[
            "__x64_sys_pread",
            "__x64_sys_pwrite",
            "__x64_sys_fsync",
            "__x64_sys_fdatasync",
            "__x64_sys_fcntl",
            "__x64_sys_open",
            "__x64_sys_newfstat",
            "__x64_sys_ftruncate",
            "vfs_read",
            "vfs_write",
            "ext4_",
        ],
    ),
    (
        "allocator",
        &[
            "asm_exc_page_fault",
            "__x64_sys_madvise",
            "__x64_sys_mmap",
            "__x64_sys_munmap",
            "__x64_sys_mprotect",
            "__x64_sys_brk",
        ],
    ),
    (
        "locks, futex, scheduling",
        &["__schedule", "schedule", "finish_task_switch"],
    ),
];

/// Functions outside the kernel, and their kind.
pub const USER: [(&str, &[&str]); 8] = [
    (
        "AEAD",
        // The last two are labels inside of ring's assembly.
        &[
            "chacha20",
            "ChaCha20",
            "poly1305",
            "Poly1305",
            "ring::",
            "ring_core",
            "poly_hash",
            "process_extra_in_trailer",
        ],
    ),
    (
        "HMAC and SHA",
        &["sha2::", "sha256", "Sha256", "hmac::", "digest::"],
    ),
    (
        "allocator",
        &[
            "malloc",
            "calloc",
            "realloc",
            "cfree",
            "__libc_free",
            "_int_free",
            "_int_memalign",
            "unlink_chunk",
            "sysmalloc",
            "systrim",
            "mi_malloc",
            "mi_free",
            "mi_heap",
            "__rust_alloc",
            "__rust_dealloc",
            "__rust_realloc",
            "__rdl_",
        ],
    ),
    (
        "memory copy",
        &["memmove", "memcpy", "memset", "memcmp", "bcmp"],
    ),
    ("tokio", &["tokio::", "mio::"]),
    ("Winze", &["winze"]),
    ("SQLite", &["sqlite"]),
    (
        "locks, futex, scheduling",
        &["pthread_", "__lll_lock", "syscall"],
    ),
];

/// The kind of a sample: its frames from the innermost out, each with whether it is the kernel's, and whether the innermost
/// is in a program of ours.
pub fn kind(frames: &[(&str, bool)], in_program: bool) -> &'static str {
    let Some((innermost, in_kernel)) = frames.first().copied() else {
        return OTHER;
    };
    if in_kernel {
        let kernel = || frames.iter().filter(|(_, in_kernel)| *in_kernel);
        let is = |needles: &&[&str]| {
            kernel().any(|(frame, _)| needles.iter().any(|needle| frame.starts_with(needle)))
        };
        let found = KERNEL.iter().find(|(_, needles)| is(needles));
        return found.map_or(OTHER, |(kind, _)| kind);
    }
    let is = |needles: &&[&str]| needles.iter().any(|needle| innermost.contains(needle));
    if let Some((kind, _)) = USER.iter().find(|(_, needles)| is(needles)) {
        return kind;
    }
    // SQLite's own functions have no prefix; nothing else in these programs that is hot is C.
    let is_c = |symbol: &str| {
        let mut letters = symbol.chars();
        letters
            .next()
            .is_some_and(|first| first.is_ascii_alphabetic())
            && letters.all(|letter| letter.is_ascii_alphanumeric() || "_.".contains(letter))
            && !symbol.contains("secp256k1")
    };
    match in_program && is_c(innermost) {
        true => "SQLite",
        false => OTHER,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_lock_belongs_to_the_call_that_took_it() {
        let frames = |entry| [("_raw_spin_lock_bh", true), (entry, true), ("recv", false)];
        let of = |entry| kind(&frames(entry), false);
        assert_eq!(of("__x64_sys_recvfrom"), "kernel: socket read");
        assert_eq!(of("__x64_sys_sendto"), "kernel: socket write");
        assert_eq!(of("__x64_sys_fdatasync"), "kernel: file");
        assert_eq!(of("asm_sysvec_reschedule"), OTHER);
    }

    #[test]
    fn waking_another_thread_is_scheduling_and_no_file_though_it_is_a_write() {
        let frames = [
            ("try_to_wake_up", true),
            ("eventfd_write", true),
            ("vfs_write", true),
            ("__x64_sys_write", true),
        ];
        assert_eq!(kind(&frames, false), "locks, futex, scheduling");
    }

    #[test]
    fn a_function_outside_the_kernel_is_told_by_itself_and_not_by_who_called_it() {
        let of = |symbol, in_program| kind(&[(symbol, false), ("tokio::run", false)], in_program);
        assert_eq!(
            of("ring_core_0_17_chacha20_poly1305_seal_avx2", true),
            "AEAD"
        );
        assert_eq!(of("sha2::sha256::x86::digest_blocks", true), "HMAC and SHA");
        assert_eq!(of("_int_malloc", false), "allocator");
        assert_eq!(of("__memmove_avx_unaligned_erms", false), "memory copy");
        assert_eq!(of("winze_hub::core::Core::handle", true), "Winze");
        assert_eq!(of("core::hash::BuildHasher::hash_one", true), OTHER);
    }

    #[test]
    fn sqlites_functions_without_a_prefix_are_sqlites_and_those_of_other_libraries_are_not() {
        let of = |symbol, in_program| kind(&[(symbol, false)], in_program);
        assert_eq!(of("btreeParseCellPtr", true), "SQLite");
        assert_eq!(of("sqlite3VdbeExec", true), "SQLite");
        assert_eq!(of("rusqlite::statement::Statement::step", true), "SQLite");
        assert_eq!(of("clock_gettime", false), OTHER);
        assert_eq!(of("[unknown]", true), OTHER);
    }

    #[test]
    fn every_kind_has_its_place_in_the_report() {
        for (kind, _) in KERNEL.iter().chain(&USER) {
            assert!(ORDER.contains(kind), "{kind}");
        }
    }
}
