"""Attentive Feature Fusion: one stage of the decoder (paper §III-B3, Fig. 3b)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from jcs_ct.models.layers import SqueezeExcitation, conv_bn_relu, resize_like


class AttentiveFeatureFusion(nn.Module):
    """Fuse the encoder's level i with the decoder's level i+1; predict the side output of level i.

    Both inputs are halved by 1×1 convolutions (the encoder's to half of `channels_out`, which at the paper's widths is
    half of the encoder's level). The decoder's is upsampled and concatenated, weighted by SE and passed through a 3×3
    transition; then it is concatenated once more, weighted and passed on. This reading gives 43.7 M parameters at the
    paper's widths, where the authors' model has 42.5 M.
    """

    def __init__(self, channels_encoder: int, channels_decoder: int, channels_out: int) -> None:
        super().__init__()
        half = channels_out // 2
        self.reduce_encoder = conv_bn_relu(channels_encoder, half, kernel=1)
        self.reduce_decoder = conv_bn_relu(channels_decoder, channels_decoder // 2, kernel=1)
        upsampled = channels_decoder // 2
        self.attention = SqueezeExcitation(half + upsampled)
        self.transition = conv_bn_relu(half + upsampled, channels_out)
        self.attention_again = SqueezeExcitation(channels_out + upsampled)
        self.transition_again = conv_bn_relu(channels_out + upsampled, channels_out)
        self.predict = nn.Conv2d(channels_out, 1, 1)

    def forward(self, encoder: Tensor, decoder: Tensor) -> tuple[Tensor, Tensor]:
        """Level i of the encoder and level i+1 of the decoder to level i of the decoder and its side logits."""
        upsampled = resize_like(self.reduce_decoder(decoder), encoder)
        x = torch.cat([self.reduce_encoder(encoder), upsampled], dim=1)
        x = self.transition(self.attention(x))
        x = torch.cat([x, upsampled], dim=1)
        x = self.transition_again(self.attention_again(x))
        return x, self.predict(x)


class PlainFusion(nn.Module):
    """A decoder stage that treats both inputs alike, the baseline of the paper's ablation (Table V, without AFF).

    The paper does not draw it. Read here as AFF without what makes it attentive: no SE, and the coarser level joins
    once.
    """

    def __init__(self, channels_encoder: int, channels_decoder: int, channels_out: int) -> None:
        super().__init__()
        half = channels_out // 2
        self.reduce_encoder = conv_bn_relu(channels_encoder, half, kernel=1)
        self.reduce_decoder = conv_bn_relu(channels_decoder, half, kernel=1)
        self.transition = conv_bn_relu(2 * half, channels_out)
        self.transition_again = conv_bn_relu(channels_out, channels_out)
        self.predict = nn.Conv2d(channels_out, 1, 1)

    def forward(self, encoder: Tensor, decoder: Tensor) -> tuple[Tensor, Tensor]:
        """Encoder level and coarser decoder level to this decoder level and its side logits (N, 1, H, W)."""
        upsampled = resize_like(self.reduce_decoder(decoder), encoder)
        x = self.transition(torch.cat([self.reduce_encoder(encoder), upsampled], dim=1))
        x = self.transition_again(x)
        return x, self.predict(x)
