use std::mem;

/// Encrypted bytes that have come and were not decrypted yet, given out block by block.
///
/// A block that has come whole is given where it lies. Of one that has not, the bytes are moved
/// aside, so that the buffer they came in is free for another connection while this one waits.
/// Then no more memory is held than twice what has come of the block, and never more than the
/// block.
#[derive(Default)]
pub(super) struct Ciphertext {
    /// `input[start..]` has come last.
    input: Vec<u8>,
    start: usize,
    /// The start of a block, which comes before `input`.
    partial: Vec<u8>,
}

impl Ciphertext {
    /// Adds a copy of `bytes` to what has come.
    pub(super) fn extend(&mut self, bytes: &[u8]) {
        self.input.drain(..mem::take(&mut self.start));
        self.input.extend_from_slice(bytes);
    }

    /// Adds a buffer full of what has come. Where nothing waits it is not copied.
    pub(super) fn lend(&mut self, buffer: Vec<u8>) {
        match self.start < self.input.len() {
            true => self.extend(&buffer),
            false => (self.input, self.start) = (buffer, 0),
        }
    }

    /// The buffer that was lent, once all in it has been given out.
    pub(super) fn take_back(&mut self) -> Option<Vec<u8>> {
        let is_used_up = self.start == self.input.len() && self.input.capacity() > 0;
        is_used_up.then(|| {
            self.start = 0;
            mem::take(&mut self.input)
        })
    }

    /// All that has come and was not given out, where it lies; nothing where a block's start was
    /// moved aside. It is still given out block by block.
    pub(super) fn peek(&mut self) -> &mut [u8] {
        match self.partial.is_empty() {
            true => self.input.get_mut(self.start..).unwrap_or_default(),
            false => &mut [],
        }
    }

    /// The next `block_bytes`, once they are there, for `f` to use. Until then it takes in all
    /// that has come: call it with the same length until it gives the block.
    pub(super) fn next_block<T>(
        &mut self,
        block_bytes: usize,
        f: impl FnOnce(&mut [u8]) -> T,
    ) -> Option<T> {
        let come = self.input.get_mut(self.start..).unwrap_or_default();
        if self.partial.is_empty()
            && let Some(block) = come.get_mut(..block_bytes)
        {
            self.start += block_bytes;
            return Some(f(block));
        }
        let missing_bytes = block_bytes.saturating_sub(self.partial.len());
        let now = come.get(..missing_bytes).unwrap_or(come);
        if self.partial.capacity() - self.partial.len() < now.len() {
            let room_bytes = now.len().max(self.partial.len()).min(missing_bytes);
            self.partial.reserve_exact(room_bytes);
        }
        self.partial.extend_from_slice(now);
        self.start += now.len();
        if self.partial.len() < block_bytes {
            return None;
        }
        let mut block = mem::take(&mut self.partial);
        Some(f(&mut block))
    }

    /// Bytes that have come and were not given out.
    pub(super) fn waiting_bytes(&self) -> usize {
        self.partial.len() + self.input.len() - self.start
    }

    /// Memory held, in bytes.
    #[cfg(test)]
    pub(super) fn held_bytes(&self) -> usize {
        self.partial.capacity() + self.input.capacity()
    }
}
