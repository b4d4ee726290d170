"""The data card: what a genome store holds, in a few lines for people."""

from dnadiff.data.genome import Store
from dnadiff.data.store_writer import NOTES
from dnadiff.errors import printable


def data_card(store: Store) -> str:
    """Contigs, length, GC, N and soft-masked share, what was normalised, and the source; several lines.

    GC is the share of G and C among A, C, G and T; the other shares are of all bases.
    """
    contigs = store.index["contigs"]
    total = {key: sum(contig[key] for contig in contigs) for key in ("length", *"ACGTN", "soft_masked")}
    known = total["length"] - total["N"]
    shown = ", ".join(f"{contig['name']} {contig['length']:,}" for contig in contigs[:3])
    more = f" and {len(contigs) - 3:,} more" if len(contigs) > 3 else ""
    gc = f"{100 * (total['G'] + total['C']) / known:.2f} %" if known else "unknown"
    source = store.index["source"]
    lines = [
        f"contigs      {len(contigs):,}: {shown}{more}",
        f"bases        {total['length']:,} bp",
        f"GC           {gc}",
        f"N            {100 * total['N'] / total['length']:.3f} % ({total['N']:,})",
        f"soft-masked  {100 * total['soft_masked'] / total['length']:.2f} %",
    ]
    for note, count in store.index["normalised"].items():
        lines.append(f"normalised   {NOTES[note]}: {count:,}")
    lines.append(f"source       {source['name']}, {source['bytes']:,} bytes, SHA-256 {source['sha256'][:16]}")
    return "\n".join(map(printable, lines))
