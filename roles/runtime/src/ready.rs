//! The line on standard output by which a process says that it is ready.

use std::io::{self, Write};
use std::net::SocketAddr;

/// `ready hub=127.0.0.1:34254 http=127.0.0.1:34255`: the word `ready`, then one `key=address` for each listening
/// port in the order given. Keys are `hub`, `mining`, `api` and `http`. With port 0 configured, this is how a
/// script learns the port.
pub fn line(ports: &[(&str, SocketAddr)]) -> String {
    let mut line = String::from("ready");
    for (key, address) in ports {
        line.push_str(&format!(" {key}={address}"));
    }
    line
}

/// Prints [`line()`] on standard output and flushes it.
///
/// # Errors
/// Standard output is closed or full; whoever started the process no longer listens.
pub fn print(ports: &[(&str, SocketAddr)]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{}", line(ports))?;
    out.flush()
}

/// Reads a [`line()`] back: the address under `key`, or `None` when the line is not a ready line or lacks the key.
pub fn address(line: &str, key: &str) -> Option<SocketAddr> {
    let mut words = line.split_whitespace();
    if words.next() != Some("ready") {
        return None;
    }
    words.find_map(|word| word.strip_prefix(key)?.strip_prefix('=')?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_reads_the_ports_back() {
        let hub: SocketAddr = "127.0.0.1:34254".parse().unwrap();
        let http: SocketAddr = "[::1]:34255".parse().unwrap();
        let printed = line(&[("hub", hub), ("http", http)]);
        assert_eq!(printed, "ready hub=127.0.0.1:34254 http=[::1]:34255");
        assert_eq!(address(&printed, "hub"), Some(hub));
        assert_eq!(address(&printed, "http"), Some(http));
        assert_eq!(address(&printed, "api"), None);
        assert_eq!(address("INFO hub=127.0.0.1:1", "hub"), None);
    }
}
