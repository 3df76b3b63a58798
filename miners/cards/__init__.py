"""Model cards: the bytes of a README.md -> what it says, what it leaves out, and what is wrong with it."""

from miners.cards.reading import SIZE_LIMIT, Card, read_card

__all__ = ["SIZE_LIMIT", "Card", "read_card"]
