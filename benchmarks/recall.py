"""How often a search of memory finds what answers a question: `python -m benchmarks.recall`.

Each conversation of a file is a memory of its own; its questions are looked for by meaning, by words, and by both. A question
counts by the share of its memories that are among the first 1, 5 and 10. Beside them stands BM25 as in the literature.
Another set can be given as a file of the same form (`--data`): see `benchmarks/data/conversations.txt`.
"""

import argparse
import math
import re
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from caxton.adapters.memory.lance import LanceMemory
from caxton.adapters.memory.minilm import MiniLM
from caxton.domain.memory import Entity, MemoryId, MemoryQuery, MemoryScope, SearchMode
from caxton.domain.memory_port import MemoryConfig, Place

DATA = Path(__file__).parent / "data" / "conversations.txt"
DEPTHS = (1, 5, 10)
MODES: tuple[SearchMode, ...] = ("vector", "text", "hybrid")
AGENTS_SIMILARITY = 0.35
"""`min_similarity` of agents that say nothing."""


@dataclass
class Conversation:
    """Memories by id, and questions with the memories that answer them."""

    title: str
    memories: dict[str, str] = field(default_factory=dict[str, str])
    questions: list[tuple[str, frozenset[str]]] = field(default_factory=list[tuple[str, frozenset[str]]])


def read(file: Path) -> list[Conversation]:
    """The conversations in a file.

    Raises:
        ValueError: a line is not of the form, or a question names a memory that there is not.
    """
    found: list[Conversation] = []
    for line in file.read_text(encoding="utf-8").splitlines():
        if not line or line.startswith("#"):
            continue
        if line.startswith("== "):
            found.append(Conversation(line[3:]))
            continue
        conversation = found[-1]
        if line.startswith("? "):
            ids, _, question = line[2:].partition(": ")
            wanted = frozenset(ids.split())
            if not wanted or not wanted <= conversation.memories.keys():
                raise ValueError(f"no such memory: {line}")
            conversation.questions.append((question, wanted))
        else:
            identity, _, text = line.partition(" ")
            key = f"filler-{len(conversation.memories)}" if identity == "-" else identity
            conversation.memories[key] = text
    return found


Ranking = Callable[[str], Sequence[str]]
"""Ids of memories, the best first."""


def recall(questions: Sequence[tuple[str, frozenset[str]]], search: Ranking) -> dict[int, float]:
    """The mean share of what answers a question that is among the first k, by k."""
    sums = dict.fromkeys(DEPTHS, 0.0)
    for question, wanted in questions:
        ranked = search(question)
        for depth in DEPTHS:
            sums[depth] += len(wanted & set(ranked[:depth])) / len(wanted)
    return {depth: total / len(questions) for depth, total in sums.items()}


def bm25(memories: dict[str, str], k1: float = 1.5, b: float = 0.75) -> Ranking:
    """BM25 (Robertson et al. 1994) over words in lower case, nothing left out: what others compare with."""
    words = {key: re.findall(r"\w+", text.lower()) for key, text in memories.items()}
    frequency = Counter(word for each in words.values() for word in set(each))
    mean = sum(map(len, words.values())) / len(words)
    counts = {key: Counter(each) for key, each in words.items()}

    def weight(word: str) -> float:
        return math.log(1 + (len(words) - frequency[word] + 0.5) / (frequency[word] + 0.5))

    def search(question: str) -> Sequence[str]:
        asked = set(re.findall(r"\w+", question.lower()))
        scores: dict[str, float] = {}
        for key, found in counts.items():
            norm = k1 * (1 - b + b * len(words[key]) / mean)
            score = sum(weight(word) * found[word] * (k1 + 1) / (found[word] + norm) for word in asked & found.keys())
            if score:
                scores[key] = score
        return sorted(scores, key=lambda key: (-scores[key], key))

    return search


def memory_of(conversation: Conversation, folder: Path, model: MiniLM) -> Callable[[SearchMode, float], Ranking]:
    """Keeps a conversation in a memory; returns searches of it by mode and lowest similarity."""
    memory, place = LanceMemory(MemoryConfig(folder, model.id, model.dimensions)), Place("bench", "recall")
    now = datetime.now(UTC)
    entities = [
        Entity(id=MemoryId(key), scope=MemoryScope(), observations=[text], created_at=now, updated_at=now)
        for key, text in conversation.memories.items()
    ]
    memory.put(place, entities, model.embed([entity.text for entity in entities]))

    def search(mode: SearchMode, min_similarity: float) -> Ranking:
        def ranked(question: str) -> Sequence[str]:
            query = MemoryQuery(text=question, mode=mode, limit=max(DEPTHS), min_similarity=min_similarity)
            found = memory.search(place, query, model.embed([question])[0])
            return [match.entity.id for match in found]

        return ranked

    return search


def measure(conversations: Sequence[Conversation]) -> dict[str, dict[int, float]]:
    """Recall at each depth, by the way of searching, over all questions."""
    model = MiniLM()
    sums: dict[str, dict[int, float]] = {}
    total = sum(len(each.questions) for each in conversations)
    for conversation in conversations:
        with tempfile.TemporaryDirectory() as folder:
            search = memory_of(conversation, Path(folder), model)
            ways: dict[str, Ranking] = {"BM25": bm25(conversation.memories)}
            ways |= {mode: search(mode, 0.0) for mode in MODES}
            ways[f"hybrid, min_similarity {AGENTS_SIMILARITY}"] = search("hybrid", AGENTS_SIMILARITY)
            for way, ranking in ways.items():
                found = recall(conversation.questions, ranking)
                kept = sums.setdefault(way, dict.fromkeys(DEPTHS, 0.0))
                for depth in DEPTHS:
                    kept[depth] += found[depth] * len(conversation.questions) / total
    return sums


def main() -> None:
    """Prints a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--data", type=Path, default=DATA, help="conversations and questions")
    conversations = read(parser.parse_args().data)
    memories = sum(len(each.memories) for each in conversations)
    questions = sum(len(each.questions) for each in conversations)
    print(f"{len(conversations)} conversations, {memories} memories, {questions} questions")
    print(f"{'':<32}" + "".join(f"R@{depth:<7}" for depth in DEPTHS))
    for way, found in measure(conversations).items():
        print(f"{way:<32}" + "".join(f"{found[depth]:<9.3f}" for depth in DEPTHS))


if __name__ == "__main__":
    main()
