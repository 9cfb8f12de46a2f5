"""Tools in WebAssembly: each call in a fresh wasmtime instance that reaches nothing but what its manifest grants.

`sandbox.WasmtimeSandbox` is the way in. This file imports nothing, because the compiler's child process starts
through it.
"""
