"""Modules for the sandbox's tests, written in WebAssembly's text format."""

import json
from collections.abc import Sequence
from typing import Any

PAGE = 65_536


def component(
    body: str = "i32.const 0", fields: str = "", arguments: str = "i32", schemas: Sequence[dict[str, Any]] = ()
) -> bytes:
    """A tool server with one function, `run`, which answers with a number of ten digits.

    Args:
        body: instructions that leave the number on the stack; `$n` is a free local variable.
        fields: more fields of the module: memories, tables, functions.
        arguments: unused local variables of the function beside `$n`, as types.
        schemas: input schemas of functions `run`, `run1`, …: one that takes any object if there is none.
    """
    import wasmtime

    names = [f"run{number or ''}" for number in range(len(schemas) or 1)]
    functions = zip(names, schemas or [{"type": "object"}], strict=True)
    tools = json.dumps({"tools": [{"name": name, "inputSchema": schema} for name, schema in functions]})
    pages = 1 + (len(tools) + PAGE - 1) // PAGE
    assert pages == 2 or schemas
    before, after = '{"content":[{"type":"text","text":"', '"}]}'
    text = f"""
    (component
      (core module $m
        (memory $memory (export "memory") {pages})
        {fields}
        (global $free (mut i32) (i32.const 4096))
        (data (i32.const 16) "{_bytes(PAGE)}{_bytes(len(tools))}")
        (data (i32.const 32) "\\00\\00\\00\\00\\00\\04\\00\\00\\{len(before) + 10 + len(after):02x}\\00\\00\\00")
        (data (i32.const {PAGE}) {_text(tools)})
        (data (i32.const 1024) {_text(before + 10 * "0" + after)})
        (func (export "realloc") (param i32 i32 i32 i32) (result i32)
          (global.get $free)
          (global.set $free (i32.and (i32.const -8)
            (i32.add (i32.add (global.get $free) (local.get 3)) (i32.const 7)))))
        (func (export "describe") (result i32) (i32.const 16))
        (func $run (result i32) (local $n i32) (local {arguments}) {body})
        (func (export "call") (param i32 i32 i32 i32) (result i32) (local $left i32) (local $at i32)
          (local.set $left (call $run))
          (local.set $at (i32.const {1024 + len(before) + 9}))
          (loop $digits
            (i32.store8 (local.get $at) (i32.add (i32.const 48) (i32.rem_u (local.get $left) (i32.const 10))))
            (local.set $left (i32.div_u (local.get $left) (i32.const 10)))
            (local.set $at (i32.sub (local.get $at) (i32.const 1)))
            (br_if $digits (local.get $left)))
          (i32.const 32)))
      (core instance $i (instantiate $m))
      (alias core export $i "memory" (core memory $memory))
      (alias core export $i "realloc" (core func $realloc))
      (func (export "describe") (result string)
        (canon lift (core func $i "describe") (memory $memory) (realloc $realloc)))
      (func (export "call") (param "name" string) (param "arguments" string) (result (result string (error string)))
        (canon lift (core func $i "call") (memory $memory) (realloc $realloc))))
    """
    return bytes(wasmtime.wat2wasm(text))


def answering(result: str) -> bytes:
    """A tool server with one function, `run`, which always answers with this text as the result."""
    import wasmtime

    tools = json.dumps({"tools": [{"name": "run", "inputSchema": {"type": "object"}}]})
    length = len(result.encode())
    text = f"""
    (component
      (core module $m
        (memory (export "memory") {3 + length // PAGE})
        (global $free (mut i32) (i32.const 4096))
        (data (i32.const 16) "{_bytes(1024)}{_bytes(len(tools))}")
        (data (i32.const 32) "{_bytes(0)}{_bytes(PAGE)}{_bytes(length)}")
        (data (i32.const 1024) {_text(tools)})
        (data (i32.const {PAGE}) {_text(result)})
        (func (export "realloc") (param i32 i32 i32 i32) (result i32)
          (global.get $free)
          (global.set $free (i32.and (i32.const -8)
            (i32.add (i32.add (global.get $free) (local.get 3)) (i32.const 7)))))
        (func (export "describe") (result i32) (i32.const 16))
        (func (export "call") (param i32 i32 i32 i32) (result i32) (i32.const 32)))
      (core instance $i (instantiate $m))
      (alias core export $i "memory" (core memory $memory))
      (alias core export $i "realloc" (core func $realloc))
      (func (export "describe") (result string)
        (canon lift (core func $i "describe") (memory $memory) (realloc $realloc)))
      (func (export "call") (param "name" string) (param "arguments" string) (result (result string (error string)))
        (canon lift (core func $i "call") (memory $memory) (realloc $realloc))))
    """
    return bytes(wasmtime.wat2wasm(text))


def command(body: str, fields: str = "") -> bytes:
    """A command that does `body` and ends without an answer; `fields` are more fields of the module."""
    import wasmtime

    text = f'(module {fields} (memory (export "memory") 1) (func (export "_start") (local $n i32) {body}))'
    return bytes(wasmtime.wat2wasm(text))


def command_that_prints(output: str) -> bytes:
    """A command that prints `output` and ends, whatever it is asked."""
    size = len(output.encode())
    write = "(drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))"
    fields = '(import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))'
    data = f'(data (i32.const 0) "{_bytes(16)}{_bytes(size)}") (data (i32.const 16) {_text(output)})'
    return command(write, f"{fields} {data}")


def grow_tables(count: int, kind: str = "func") -> tuple[str, str]:
    """The body and fields of a function that makes `count` tables as large as it can; it answers with their entries."""
    fields = "".join(f"(table $t{number} 0 {kind}ref)" for number in range(count))
    grow = "(if (i32.ne (table.grow $t{0} (ref.null {1}) (i32.const 100)) (i32.const -1))"
    grow += " (then (local.set $n (i32.add (local.get $n) (i32.const 100))) (br $l{0})))"
    body = "".join(f"(loop $l{number} {grow.format(number, kind)})" for number in range(count))
    return body + "(local.get $n)", fields


def grow_memories(count: int) -> tuple[str, str]:
    """The body and fields of a function that makes all its memories as large as it can; it answers with their pages."""
    grow = "(loop $l{0} (br_if $l{0} (i32.ne (memory.grow {0} (i32.const 1)) (i32.const -1))))"
    grow += "(local.set $n (i32.add (local.get $n) (memory.size {0})))"
    return "".join(grow.format(n) for n in range(count + 1)) + "(local.get $n)", count * "(memory 1)"


def _bytes(number: int) -> str:
    return "".join(f"\\{byte:02x}" for byte in number.to_bytes(4, "little"))


def _text(text: str) -> str:
    """A string of WebAssembly's text format."""
    return (
        '"'
        + "".join(chr(byte) if 32 <= byte < 127 and byte not in b'"\\' else f"\\{byte:02x}" for byte in text.encode())
        + '"'
    )
