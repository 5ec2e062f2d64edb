"""Makes a tiny BERT of random weights for embeddings, and says what transformers computes with it.

    python tests/tiny_bert.py FOLDER TEXT...

Runs in vLLM's environment, the only one with transformers. Writes the model to FOLDER, and prints the texts' unit
vectors as JSON.
"""

import json
import sys

import torch
from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from tokenizers.pre_tokenizers import BertPreTokenizer
from tokenizers.processors import TemplateProcessing
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
LETTERS = [chr(code) for code in range(ord("a"), ord("z") + 1)]
LONGEST = 256


def main(folder: str, *texts: str) -> None:
    """See above."""
    torch.manual_seed(7)
    tokenizer, model = _tokenizer(), _model()
    tokenizer.save_pretrained(folder)
    model.save_pretrained(folder)
    model.eval()
    vectors = []
    with torch.no_grad():
        for text in texts:
            # The first token's, as vLLM takes it for a BERT that says nothing else.
            state = model(**tokenizer(text, return_tensors="pt")).last_hidden_state[0, 0]
            vectors.append(torch.nn.functional.normalize(state, dim=0).tolist())
    sys.stdout.write(json.dumps(vectors))


def _tokenizer() -> PreTrainedTokenizerFast:
    vocabulary = [*SPECIAL, *LETTERS, *(f"##{letter}" for letter in LETTERS)]
    made = Tokenizer(WordPiece({word: at for at, word in enumerate(vocabulary)}, unk_token="[UNK]"))
    made.pre_tokenizer = BertPreTokenizer()
    made.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    names = dict(zip(("pad_token", "unk_token", "cls_token", "sep_token", "mask_token"), SPECIAL, strict=True))
    return PreTrainedTokenizerFast(tokenizer_object=made, model_max_length=LONGEST, **names)


def _model() -> BertModel:
    config = BertConfig(
        vocab_size=len(SPECIAL) + 2 * len(LETTERS),
        hidden_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=96,
        max_position_embeddings=LONGEST,
        # Far above what models start from: texts shall differ in more than rounding.
        initializer_range=0.5,
    )
    return BertModel(config)


if __name__ == "__main__":
    main(*sys.argv[1:])
