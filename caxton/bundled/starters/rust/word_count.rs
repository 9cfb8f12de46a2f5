//! An MCP tool server in Rust: counts words. It reads JSON-RPC lines from stdin and answers them on stdout.
//!
//! It has no dependencies, so one rustc command builds it; a larger server would use serde_json.

use std::io::{self, BufRead, Write};

mod json;
use json::Json;

const TOOLS: &str = include_str!("tools.json");
const SERVER: &str = r#"{"protocolVersion":"2025-06-18","capabilities":{"tools":{}},"serverInfo":{"name":"word-count","version":"1.0.0"}}"#;

fn main() -> io::Result<()> {
    let mut out = io::stdout().lock();
    for line in io::stdin().lock().lines() {
        let request = json::parse(&line?).unwrap_or(Json::Null);
        if let Some(id) = request.get("id") {
            writeln!(out, r#"{{"jsonrpc":"2.0","id":{id},{}}}"#, answer(&request))?; // notifications have no id
        }
    }
    Ok(())
}

fn answer(request: &Json) -> String {
    match request.get("method").and_then(Json::as_str) {
        Some("initialize") => result(SERVER),
        Some("tools/list") => result(&TOOLS.replace('\n', "")),
        Some("tools/call") => result(&call(request)),
        _ => r#""error":{"code":-32601,"message":"there is no such method"}"#.to_string(),
    }
}

fn result(json: &str) -> String {
    format!(r#""result":{json}"#)
}

fn call(request: &Json) -> String {
    let params = request.get("params");
    let name = params.and_then(|params| params.get("name")).and_then(Json::as_str);
    if name != Some("word_count") {
        return failed("there is no such tool");
    }
    let arguments = params.and_then(|params| params.get("arguments"));
    match arguments.and_then(|arguments| arguments.get("text")).and_then(Json::as_str) {
        Some(text) => counted(text.split_whitespace().count()),
        None => failed("'text' is missing or not a string"),
    }
}

fn counted(words: usize) -> String {
    format!(r#"{{"content":[{{"type":"text","text":"{words} words"}}],"structuredContent":{{"words":{words}}}}}"#)
}

fn failed(why: &str) -> String {
    let why = Json::String(why.to_string());
    format!(r#"{{"content":[{{"type":"text","text":{why}}}],"isError":true}}"#)
}
