//! The programs in this process: requests are calls.

use std::{collections::VecDeque, io};

use dataplane::testing::Wire;

unsafe extern "C" {
    /// `bpf/native/request.h`.
    fn hr_native_request(request: *const u8, bytes: u32, answer_bytes: *mut u32) -> *const u8;
}

/// The answers that nobody has asked for yet.
#[derive(Default)]
pub(crate) struct InProcess {
    answers: VecDeque<u8>,
}

impl Wire for InProcess {
    fn send(&mut self, request: &[u8]) -> io::Result<()> {
        let bytes = u32::try_from(request.len()).map_err(io::Error::other)?;
        let mut answer_bytes = 0;
        // SAFETY: the request is readable, and is not kept; this is the one thread that calls.
        let answer = unsafe { hr_native_request(request.as_ptr(), bytes, &raw mut answer_bytes) };
        if answer_bytes > 0 {
            // SAFETY: so many bytes are there until the next request.
            self.answers.extend(unsafe { std::slice::from_raw_parts(answer, answer_bytes as usize) });
        }
        Ok(())
    }

    fn receive(&mut self, answer: &mut [u8]) -> io::Result<()> {
        let bytes = answer.len();
        if self.answers.len() < bytes {
            return Err(io::Error::other("there is no answer: more was asked for than was asked"));
        }
        answer.iter_mut().zip(self.answers.drain(..bytes)).for_each(|(to, from)| *to = from);
        Ok(())
    }
}
