"""Bad adapters whose configuration is at fault."""

from bad_adapters.evil import CONFIG, Evil, configured, rewritten

_OPTIONS = {
    "use_dora": (True, "DoRA"),
    "lora_bias": (True, "a bias on lora_B"),
    "alora_invocation_tokens": ([1, 2], "aLoRA"),
    "layer_replication": ([[0, 4], [2, 5]], "layer replication"),
    "use_qalora": (True, "QALoRA"),
    "use_bdlora": ({"nblocks": 2}, "BD-LoRA"),
    "modules_to_save": (["lm_head"], "modules saved in full"),
    "trainable_token_indices": ([5], "trained tokens"),
    "target_parameters": (["experts.weight"], "bare parameters"),
    "kasa_config": ({"x": 1}, "KaSA"),
    "arrow_config": ({"x": 1}, "Arrow"),
    "monteclora_config": ({"x": 1}, "MonteCLoRA"),
}

CONFIGURATIONS = [
    *(
        Evil(f"option {option}", configured(**{option: value}), "unsupported-option", words)
        for option, (value, words) in _OPTIONS.items()
    ),
    Evil("biases trained", configured(bias="all"), "unsupported-option", "biases"),
    *(
        Evil(f"initialised by {start}", configured(init_lora_weights=start), "unsupported-option", start)
        for start in ("pissa", "olora", "corda", "loftq")
    ),
    Evil("IA3", configured(peft_type="IA3"), "peft-type", "IA3"),
    Evil("a prompt, not a LoRA", configured(peft_type="PROMPT_TUNING"), "peft-type", "PROMPT_TUNING"),
    Evil("no type", configured(peft_type=None), "peft-type", "missing"),
    Evil("rank zero", configured(r=0), "rank", "r is 0"),
    Evil("a rank below zero", configured(r=-4), "rank", "r is -4"),
    Evil("a rank in words", configured(r="four"), "rank", "r is four"),
    Evil("a rank above the limit", configured(r=65), "rank", "rank 65"),
    Evil("a rank of a hundred digits", configured(r=10**99), "rank", "1000000000"),
    Evil("a rank above the limit for one module", configured(rank_pattern={"q_proj": 999}), "rank", "999"),
    Evil("no alpha", configured(lora_alpha=None), "alpha", "lora_alpha is missing"),
    Evil("alpha zero", configured(lora_alpha=0), "alpha", "lora_alpha is 0"),
    Evil("an absurd alpha", configured(lora_alpha=1e8), "alpha", "multiplied by"),
    Evil("alpha in a list", configured(lora_alpha=[16]), "alpha", "lora_alpha is [16]"),
    Evil(
        "a pattern that backtracks for ever",
        configured(rank_pattern={"(a+)+$": 4}),
        "config",
        "rank_pattern has the pattern",
    ),
    Evil(
        "a pattern that backtracks, for alpha",
        configured(alpha_pattern={"(x|x|x)*y*z*w*": 4}),
        "config",
        "alpha_pattern has the pattern",
    ),
    Evil("no target modules", configured(target_modules=None), "config", "target_modules is missing"),
    Evil("target modules as a number", configured(target_modules=7), "config", "target_modules is 7"),
    Evil("layers in words", configured(layers_to_transform="all"), "config", "layers_to_transform"),
    Evil("another base model", configured(base_model_name_or_path="Llama-3-8B"), "declared-base", "Llama-3-8B"),
    Evil(
        "another size of the base model",
        configured(base_model_name_or_path="HuggingFaceTB/SmolLM2-360M-Instruct"),
        "declared-base",
        "360M",
    ),
    Evil("a configuration that is cut off", rewritten(CONFIG, lambda told: told[:40]), "config", "not valid JSON"),
    Evil("a configuration in a list", rewritten(CONFIG, lambda told: b"[" + told + b"]"), "config", "not an object"),
    Evil(
        "a configuration in UTF-16", rewritten(CONFIG, lambda told: told.decode().encode("utf-16")), "config", "utf-8"
    ),
    Evil(
        "a key twice",
        rewritten(CONFIG, lambda told: told.replace(b'"r": 4', b'"r": 4, "r": 8')),
        "config",
        "appears twice",
    ),
    Evil(
        "an infinite alpha", rewritten(CONFIG, lambda told: told.replace(b"8,", b"Infinity,", 1)), "config", "Infinity"
    ),
    Evil("a nest of brackets", rewritten(CONFIG, lambda _: b"[" * 500_000), "config", "recursion"),
    Evil(
        "a configuration of megabytes",
        rewritten(CONFIG, lambda told: told[:-1] + b" " * 2**20 + b"}"),
        "size",
        "adapter_config.json is larger",
    ),
    Evil("a pickle as configuration", rewritten(CONFIG, lambda _: b"\x80\x04\x95" + b"x" * 40), "disguise", "pickle"),
]
