"""Text encoders for the sentences of Action Units: a small one trained from scratch, or a local BERT folder."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from merau.engine.errors import UserError
from merau.trainers.data.facs_sentences import DESCRIPTIONS

WIDTH = 64  # of the small encoder
HEADS, LAYERS = 4, 2


class SmallTextEncoder(nn.Module):
    """A transformer over the words of FACS (Vaswani et al. 2017): sentences -> (n, features).

    The order of the words tells which belongs to which unit, so words have positions.
    """

    def __init__(self, sentences: Sequence[str], features: int) -> None:
        super().__init__()
        words = sorted({word for text in ("and", *DESCRIPTIONS.values()) for word in text.split()})
        index = {word: i + 1 for i, word in enumerate(words)}
        rows = [[index[word] for word in sentence.split()] for sentence in sentences]
        length = max(1, *map(len, rows))
        self.tokens: Tensor
        self.register_buffer("tokens", torch.tensor([row + [0] * (length - len(row)) for row in rows]))
        self.embed = nn.Embedding(len(words) + 1, WIDTH, padding_idx=0)
        self.position = nn.Parameter(0.02 * torch.randn(length, WIDTH))
        layer = nn.TransformerEncoderLayer(WIDTH, HEADS, 2 * WIDTH, dropout=0.1, batch_first=True)
        self.layers = nn.TransformerEncoder(layer, LAYERS, enable_nested_tensor=False)
        self.project = nn.Linear(WIDTH, features)

    def forward(self, rows: Tensor) -> Tensor:
        """Return the features of the sentences `rows` (n,), none of which may be empty."""
        tokens = self.tokens[rows]
        padding = tokens == 0
        states = self.layers(self.embed(tokens) + self.position, src_key_padding_mask=padding)
        kept = (~padding).float()[..., None]
        return self.project((states * kept).sum(1) / kept.sum(1).clamp(min=1))


class BertTextEncoder(nn.Module):
    """BERT from a local folder (Devlin et al. 2019): sentences -> (n, features). Nothing is downloaded.

    Raises:
        UserError: The folder holds no BERT, or the package transformers is missing.
    """

    def __init__(self, sentences: Sequence[str], features: int, folder: Path) -> None:
        super().__init__()
        try:
            from transformers import AutoModel, AutoTokenizer
        except ImportError as error:
            raise UserError("A BERT folder needs the package transformers: pip install 'merau-live[bert]'.") from error
        try:
            tokenizer = AutoTokenizer.from_pretrained(str(folder), local_files_only=True)
            self.bert = AutoModel.from_pretrained(str(folder), local_files_only=True)
        except (OSError, ValueError) as error:
            reason = str(error).splitlines()[0]
            raise UserError(f"{folder} holds no BERT that can be read: {reason}") from error
        read = tokenizer(list(sentences), padding=True, return_tensors="pt")
        self.tokens: Tensor
        self.mask: Tensor
        self.register_buffer("tokens", read["input_ids"])
        self.register_buffer("mask", read["attention_mask"])
        self.project = nn.Linear(self.bert.config.hidden_size, features)

    def forward(self, rows: Tensor) -> Tensor:
        """Return the features of the sentences `rows` (n,): those of the first token, [CLS]."""
        states = self.bert(input_ids=self.tokens[rows], attention_mask=self.mask[rows]).last_hidden_state
        return self.project(states[:, 0])
