#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| winze_hub::core::fuzzed::hub_groups(data));
