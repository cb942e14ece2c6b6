"""Makes a small Llama with random weights and two LoRA adapters for it: make-models.py FOLDER

FOLDER/base is the model, FOLDER/adapters/sql and FOLDER/adapters/chat are its adapters. Seeds are fixed: the same packages make the
same files. Weights are larger than those of a model to be trained, so that answers depend on every token of the prompt, and an adapter
changes all of them.
"""

import json
import string
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

HIDDEN = 256
LAYERS = 2
RANK = 8
MODULES = ["q_proj", "v_proj"]
TEMPLATE = (
    "{% for message in messages %}{{ message.role }}: {{ message.content }}\n{% endfor %}"
    "{% if add_generation_prompt %}assistant: {% endif %}"
)


def tokenizer():
    """A token is one printable character of ASCII, a space or a line break, so that every answer is legible text."""
    # What the byte-level decoder writes for a space and a line break.
    characters = [*string.digits, *string.ascii_letters, *string.punctuation, "Ġ", "Ċ"]
    tokens = ["<s>", "</s>", *characters]
    made = Tokenizer(models.BPE(vocab={token: number for number, token in enumerate(tokens)}, merges=[]))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(
        tokenizer_object=made, bos_token="<s>", eos_token="</s>", chat_template=TEMPLATE
    )


def make_base(folder):
    words = tokenizer()
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(words),
        hidden_size=HIDDEN,
        intermediate_size=2 * HIDDEN,
        num_hidden_layers=LAYERS,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=1024,
        initializer_range=0.1,
        bos_token_id=words.bos_token_id,
        eos_token_id=words.eos_token_id,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    words.save_pretrained(folder)


def make_adapter(folder, seed):
    folder.mkdir(parents=True)
    random = torch.Generator().manual_seed(seed)
    weights = {}
    for layer in range(LAYERS):
        for module in MODULES:
            name = f"base_model.model.model.layers.{layer}.self_attn.{module}"
            for part, shape in [("lora_A", (RANK, HIDDEN)), ("lora_B", (HIDDEN, RANK))]:
                weights[f"{name}.{part}.weight"] = 0.2 * torch.randn(shape, generator=random)
    save_file(weights, folder / "adapter_model.safetensors")
    config = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": "base",
        "r": RANK,
        "lora_alpha": 2 * RANK,
        "lora_dropout": 0.0,
        "bias": "none",
        "target_modules": MODULES,
    }
    (folder / "adapter_config.json").write_text(json.dumps(config))


def main(folder):
    make_base(folder / "base")
    make_adapter(folder / "adapters" / "sql", seed=1)
    make_adapter(folder / "adapters" / "chat", seed=2)


main(Path(sys.argv[1]))
