// An MCP tool server in Go: counts words. It reads JSON-RPC lines from stdin and answers them on stdout.
package main

import (
	"bufio"
	_ "embed"
	"encoding/json"
	"fmt"
	"os"
	"strings"
)

//go:embed tools.json
var tools []byte

type request struct {
	ID     json.RawMessage `json:"id"`
	Method string          `json:"method"`
	Params json.RawMessage `json:"params"`
}

type rpcError struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
}

type response struct {
	Version string          `json:"jsonrpc"`
	ID      json.RawMessage `json:"id"`
	Result  any             `json:"result,omitempty"`
	Error   *rpcError       `json:"error,omitempty"`
}

type textContent struct {
	Type string `json:"type"`
	Text string `json:"text"`
}

type toolResult struct {
	Content           []textContent  `json:"content"`
	StructuredContent map[string]any `json:"structuredContent,omitempty"`
	IsError           bool           `json:"isError,omitempty"`
}

func main() {
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 4<<20)
	out := json.NewEncoder(os.Stdout)
	for lines.Scan() {
		var asked request
		if json.Unmarshal(lines.Bytes(), &asked) != nil || asked.ID == nil {
			continue // not a request: a notification, or nothing that could be answered
		}
		answer := response{Version: "2.0", ID: asked.ID}
		answer.Result, answer.Error = handle(asked)
		out.Encode(answer)
	}
}

func handle(asked request) (any, *rpcError) {
	switch asked.Method {
	case "initialize":
		return map[string]any{
			"protocolVersion": "2025-06-18",
			"capabilities":    map[string]any{"tools": map[string]any{}},
			"serverInfo":      map[string]any{"name": "word-count", "version": "1.0.0"},
		}, nil
	case "tools/list":
		return json.RawMessage(tools), nil
	case "tools/call":
		return call(asked.Params), nil
	}
	return nil, &rpcError{Code: -32601, Message: "there is no method " + asked.Method}
}

func call(params json.RawMessage) toolResult {
	var asked struct {
		Name      string `json:"name"`
		Arguments struct {
			Text *string `json:"text"`
		} `json:"arguments"`
	}
	if err := json.Unmarshal(params, &asked); err != nil {
		return failed(err.Error())
	}
	if asked.Name != "word_count" {
		return failed("there is no tool " + asked.Name)
	}
	if asked.Arguments.Text == nil {
		return failed("'text' is missing")
	}
	words := len(strings.Fields(*asked.Arguments.Text))
	return toolResult{
		Content:           []textContent{{"text", fmt.Sprintf("%d words", words)}},
		StructuredContent: map[string]any{"words": words},
	}
}

func failed(why string) toolResult {
	return toolResult{Content: []textContent{{"text", why}}, IsError: true}
}
