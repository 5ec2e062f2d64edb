"""What coding assistants send, in shape: Claude Code to Anthropic's Messages, Codex to OpenAI's Responses."""

from typing import Any

CLAUDE_CODE_HEADERS = {
    "anthropic-version": "2023-06-01",
    "anthropic-beta": "claude-code-20250219,interleaved-thinking-2025-05-14,fine-grained-tool-streaming-2025-05-14",
    "x-app": "cli",
    "user-agent": "claude-cli/2.1.0 (external, cli)",
}
_CACHED = {"cache_control": {"type": "ephemeral"}}
_COMMAND = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "properties": {"command": {"type": "string", "description": "The command."}, "timeout": {"type": "number"}},
    "required": ["command"],
    "additionalProperties": False,
}


def claude_code(model: str, question: str, *, max_tokens: int = 60) -> dict[str, Any]:
    """A turn of Claude Code after one call of a tool."""
    return {
        "model": model,
        "max_tokens": max_tokens,
        "stream": True,
        "temperature": 0,
        "system": [
            {"type": "text", "text": "x-anthropic-billing-header: cc_version=2.1.0; cch=0f1e2;"},
            {"type": "text", "text": "You are Claude Code.", **_CACHED},
            {"type": "text", "text": "Working directory: /home/ada/shop", **_CACHED},
        ],
        "tools": [
            {"name": "Bash", "description": "Runs a command.", "input_schema": _COMMAND},
            {"name": "Read", "description": "Reads.", "input_schema": {"type": "object", "properties": {}}, **_CACHED},
        ],
        "messages": [
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "<system-reminder>Be brief.</system-reminder>"},
                    {"type": "text", "text": "What is here?", **_CACHED},
                ],
            },
            {
                "role": "assistant",
                "content": [
                    {"type": "thinking", "thinking": "I list the files.", "signature": "c2ln"},
                    {"type": "text", "text": "I look."},
                    {"type": "tool_use", "id": "toolu_01", "name": "Bash", "input": {"command": "ls"}},
                ],
            },
            {
                "role": "user",
                "content": [
                    {"type": "tool_result", "tool_use_id": "toolu_01", "content": "cart.py", "is_error": False},
                    {"type": "text", "text": question, **_CACHED},
                ],
            },
        ],
        "metadata": {"user_id": "user_1f_account__session_9a"},
        "thinking": {"type": "adaptive"},
        "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
    }


def codex(model: str, question: str, *, max_tokens: int = 60) -> dict[str, Any]:
    """A turn of Codex after one call of a function."""
    return {
        "model": model,
        "instructions": "You are Codex.",
        "input": [
            _message("developer", "input_text", "<permissions>read-only</permissions>"),
            _message("user", "input_text", "<environment_context><cwd>/home/ada/shop</cwd></environment_context>"),
            _message("user", "input_text", "What is here?"),
            {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": None},
            {"type": "function_call", "name": "shell", "arguments": '{"command":["ls"]}', "call_id": "call_1"},
            {"type": "function_call_output", "call_id": "call_1", "output": "cart.py"},
            _message("assistant", "output_text", "One file."),
            _message("user", "input_text", question),
        ],
        "tools": [
            {
                "type": "function",
                "name": "shell",
                "description": "Runs a command.",
                "strict": False,
                "parameters": {
                    "type": "object",
                    "properties": {"command": {"type": "array", "items": {"type": "string"}}},
                    "required": ["command"],
                    "additionalProperties": False,
                },
            },
            {"type": "local_shell"},
            {"type": "web_search", "external_web_access": False},
            {
                "type": "custom",
                "name": "apply_patch",
                "description": "Edits files.",
                "format": {"type": "grammar", "syntax": "lark", "definition": 'start: "*** Begin Patch"'},
            },
        ],
        "tool_choice": "auto",
        "parallel_tool_calls": False,
        "reasoning": {"effort": "medium", "summary": "auto"},
        "store": False,
        "stream": True,
        "include": ["reasoning.encrypted_content"],
        "prompt_cache_key": "0199a213-81c0-7800-8aa1-bbab2a035a53",
        "text": {"verbosity": "medium"},
        "client_metadata": {"x-codex-installation-id": "7d1f"},
        "temperature": 0,
        "max_output_tokens": max_tokens,
    }


def _message(role: str, kind: str, text: str) -> dict[str, Any]:
    return {"type": "message", "role": role, "content": [{"type": kind, "text": text}]}
