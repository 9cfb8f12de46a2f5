//! The world caxton:agent/agent for Rust, without dependencies: the host's functions, what the agent keeps, and the export that
//! Caxton calls. An agent has a function `fn handle(message: &str) -> Result<String, String>` and the line
//! `caxton_agent::export!(handle);`
//!
//! Each call has an instance of its own, which is thrown away behind it: so nothing is ever freed.
#![allow(dead_code)]

use std::alloc::{alloc, realloc, Layout};

pub mod host {
    use super::*;

    /// An HTTP request as JSON; the answer as JSON.
    pub fn fetch(request: &str) -> Result<String, String> {
        ask(host_fetch, request)
    }

    /// The text of a granted file.
    pub fn read_file(path: &str) -> Result<String, String> {
        ask(host_read_file, path)
    }

    /// A granted environment variable.
    pub fn environment(name: &str) -> Result<String, String> {
        ask(host_environment, name)
    }

    /// A line in the log of the step; `level` is "debug", "info", "warning" or "error".
    pub fn log(level: &str, message: &str) {
        unsafe { host_log(level.as_ptr(), level.len(), message.as_ptr(), message.len()) }
    }
}

pub mod state {
    use super::*;

    /// The text at `key`, if there is one.
    pub fn get(key: &str) -> Option<String> {
        let mut found = Tagged::new();
        unsafe { state_get(key.as_ptr(), key.len(), &mut found) };
        if found.tag == 1 { Some(found.text.take()) } else { None }
    }

    /// Keeps a text at `key`.
    pub fn set(key: &str, value: &str) -> Result<(), String> {
        let mut done = Tagged::new();
        unsafe { state_set(key.as_ptr(), key.len(), value.as_ptr(), value.len(), &mut done) };
        if done.tag == 0 { Ok(()) } else { Err(done.text.take()) }
    }

    /// Takes the text at `key` away.
    pub fn delete(key: &str) {
        unsafe { state_delete(key.as_ptr(), key.len()) }
    }

    /// All keys, in order.
    pub fn keys() -> Vec<String> {
        let mut list = List { first: std::ptr::null_mut(), len: 0 };
        unsafe {
            state_keys(&mut list);
            (0..list.len).map(|index| std::ptr::read(list.first.add(index)).take()).collect()
        }
    }
}

/// Exports `handle`.
macro_rules! export {
    ($handle:path) => {
        #[export_name = "handle"]
        extern "C" fn exported_handle(ptr: *mut u8, len: usize) -> *const crate::caxton_agent::Tagged {
            crate::caxton_agent::answer(ptr, len, $handle)
        }
    };
}
pub(crate) use export;

// What follows is the canonical ABI: how strings, results and lists lie in memory.

#[repr(C)]
pub struct Text {
    ptr: *mut u8,
    len: usize,
}

impl Text {
    fn take(self) -> String {
        if self.len == 0 {
            return String::new();
        }
        unsafe { String::from_utf8_unchecked(Vec::from_raw_parts(self.ptr, self.len, self.len)) }
    }
}

/// A result or an option: which of the two it is, and its text.
#[repr(C)]
pub struct Tagged {
    tag: u8,
    text: Text,
}

impl Tagged {
    fn new() -> Self {
        Tagged { tag: 0, text: Text { ptr: std::ptr::null_mut(), len: 0 } }
    }
}

#[repr(C)]
struct List {
    first: *mut Text,
    len: usize,
}

#[link(wasm_import_module = "caxton:agent/host@0.1.0")]
extern "C" {
    #[link_name = "fetch"]
    fn host_fetch(ptr: *const u8, len: usize, out: *mut Tagged);
    #[link_name = "read-file"]
    fn host_read_file(ptr: *const u8, len: usize, out: *mut Tagged);
    #[link_name = "environment"]
    fn host_environment(ptr: *const u8, len: usize, out: *mut Tagged);
    #[link_name = "log"]
    fn host_log(level: *const u8, level_len: usize, message: *const u8, message_len: usize);
}

#[link(wasm_import_module = "caxton:agent/state@0.1.0")]
extern "C" {
    #[link_name = "get"]
    fn state_get(key: *const u8, key_len: usize, out: *mut Tagged);
    #[link_name = "set"]
    fn state_set(key: *const u8, key_len: usize, value: *const u8, value_len: usize, out: *mut Tagged);
    #[link_name = "delete"]
    fn state_delete(key: *const u8, key_len: usize);
    #[link_name = "keys"]
    fn state_keys(out: *mut List);
}

fn ask(function: unsafe extern "C" fn(*const u8, usize, *mut Tagged), argument: &str) -> Result<String, String> {
    let mut answer = Tagged::new();
    unsafe { function(argument.as_ptr(), argument.len(), &mut answer) };
    if answer.tag == 0 { Ok(answer.text.take()) } else { Err(answer.text.take()) }
}

/// Calls `handle`, and leaves what it answers where Caxton reads it.
pub fn answer(ptr: *mut u8, len: usize, handle: fn(&str) -> Result<String, String>) -> *const Tagged {
    let message = Text { ptr, len }.take();
    let (tag, mut text) = match handle(&message) {
        Ok(text) => (0, text.into_bytes()),
        Err(text) => (1, text.into_bytes()),
    };
    let told = Tagged { tag, text: Text { ptr: text.as_mut_ptr(), len: text.len() } };
    std::mem::forget(text);
    Box::into_raw(Box::new(told))
}

#[export_name = "cabi_realloc"]
unsafe extern "C" fn cabi_realloc(old: *mut u8, old_len: usize, align: usize, len: usize) -> *mut u8 {
    if len == 0 {
        return align as *mut u8;
    }
    let found = if old_len == 0 {
        alloc(Layout::from_size_align_unchecked(len, align))
    } else {
        realloc(old, Layout::from_size_align_unchecked(old_len, align), len)
    };
    if found.is_null() {
        core::arch::wasm32::unreachable();
    }
    found
}
