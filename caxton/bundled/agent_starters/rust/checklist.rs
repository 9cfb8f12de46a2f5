//! An agent in Rust: a checklist for each conversation. "add milk" adds, "done 1" ticks off, anything else shows the list.
//!
//! It has no dependencies, so one rustc command builds it; a larger agent would use wit-bindgen and serde_json.

mod caxton_agent;
mod json;
use caxton_agent::{host, state};
use json::Json;

caxton_agent::export!(handle);

struct Item {
    text: String,
    done: bool,
}

fn handle(message: &str) -> Result<String, String> {
    let message = json::parse(message).ok_or("the message is not JSON")?;
    let request = message.get("request").and_then(Json::as_str).unwrap_or("").trim();
    let mut items = load();
    let (word, rest) = request.split_once(char::is_whitespace).unwrap_or((request, ""));
    match (word.to_lowercase().as_str(), rest.trim()) {
        ("add", "") => return Err("say what to add, such as: add milk".to_string()),
        ("add", text) => items.push(Item { text: text.to_string(), done: false }),
        ("done", number) => match number.parse::<usize>().ok().and_then(|n| items.get_mut(n.wrapping_sub(1))) {
            Some(item) => item.done = true,
            None => return Err(format!("there is no item {number}; the list has {}", items.len())),
        },
        _ => return reply(&items),
    }
    save(&items)?;
    host::log("info", &format!("{} items", items.len()));
    reply(&items)
}

fn reply(items: &[Item]) -> Result<String, String> {
    let lines: Vec<String> = items
        .iter()
        .enumerate()
        .map(|(index, item)| format!("{}. [{}] {}", index + 1, if item.done { "x" } else { " " }, item.text))
        .collect();
    let text = if lines.is_empty() { "There is nothing on the list.".to_string() } else { lines.join("\n") };
    Ok(Json::object([("reply", Json::text(&text))]).to_string())
}

fn load() -> Vec<Item> {
    let kept = state::get("items").and_then(|text| json::parse(&text)).unwrap_or(Json::Null);
    let item = |item: &Json| Item {
        text: item.get("text").and_then(Json::as_str).unwrap_or("").to_string(),
        done: matches!(item.get("done"), Some(Json::Bool(true))),
    };
    kept.items().iter().map(item).collect()
}

fn save(items: &[Item]) -> Result<(), String> {
    let item = |item: &Item| Json::object([("text", Json::text(&item.text)), ("done", Json::Bool(item.done))]);
    state::set("items", &Json::Array(items.iter().map(item).collect()).to_string())
}
