#!/usr/bin/env python3
"""An audience to what carries it: requests, bytes, edges, dollars. `capacity.py [--write docs/guide/capacity.md]`

Without arguments prints the tables; with options answers one question:
    deploy/capacity.py --viewers 25000 --bitrate 5.8 --hours 2
The assumptions are the constants below. Prices are list prices in us-east-1 without taxes, discounts or free tiers; look
them up before you rely on them, they are the only numbers here that change by themselves.
"""

import argparse
import math
import sys
from dataclasses import dataclass
from pathlib import Path

# What a player asks for, per second: a playlist and its media, for video and for audio.
SEGMENT_SECONDS = 2.0
PART_SECONDS = 0.5
TRACKS = 2
# Audio beside the video, Mb/s; and what HTTP, TLS and TCP add to both.
AUDIO_MBPS = 0.13
OVERHEAD = 1.05

# What one edge (c7g.xlarge: 4 cores, 1.876 Gb/s steady network) is planned for. Steady, not burst: an event lasts.
EDGE_GBPS = 1.2
EDGE_REQUESTS_PER_SECOND = 20_000
# Edges stay below that by this much, so that losing some to Spot hurts nobody.
EDGE_HEADROOM = 0.3
EDGES_MIN = 2

# Points where CloudFront asks the edges for each object: regional caches, or one behind Origin Shield.
REGIONAL_CACHES = 13
# Rungs that the audience spreads over (source, 1920, 960, 480): each is fetched by each place.
RUNGS = 4
LADDER_MBPS = 16.0 + 5.8 + 2.3 + 0.5

# Dollars. CloudFront per GB falls with the month's volume: (TB up to, $/GB).
CLOUDFRONT_TIERS = ((10, 0.085), (50, 0.080), (150, 0.060), (500, 0.040), (1024, 0.030), (5120, 0.025), (math.inf, 0.020))
CLOUDFRONT_PER_10K = 0.01
EC2_PER_GB_TIERS = ((10, 0.09), (50, 0.085), (150, 0.07), (math.inf, 0.05))
EDGE_SPOT_HOUR = 0.06
# Both origins (c7g.2xlarge, Spot), their addresses and disks, the load balancer's base.
FIXED_HOUR = 0.35


@dataclass(frozen=True)
class Plan:
    """What an audience needs."""

    viewers: int
    gbps: float
    requests: float
    edges: int
    egress_tb: float
    dollars: float

    @property
    def cents_per_viewer_hour(self):
        """What a viewer costs; falls with the audience."""
        return 100 * self.dollars / self.viewers


def requests_per_viewer(low_latency):
    """Requests per second of one viewer: each track reloads its playlist and fetches what is new."""
    return TRACKS * 2 / (PART_SECONDS if low_latency else SEGMENT_SECONDS)


def tiered(terabytes, tiers):
    """Dollars for a volume whose price falls in steps; terabytes are thousands of gigabytes, as they are billed."""
    dollars, below = 0.0, 0.0
    for up_to, per_gb in tiers:
        within = min(terabytes, up_to) - below
        if within <= 0:
            break
        dollars += within * 1000 * per_gb
        below = up_to
    return dollars


def edges_for(gbps, requests):
    """Edges that carry a load with room to lose some."""
    usable = 1 - EDGE_HEADROOM
    return max(
        EDGES_MIN, math.ceil(gbps / (EDGE_GBPS * usable)), math.ceil(requests / (EDGE_REQUESTS_PER_SECOND * usable))
    )


def plan(viewers, bitrate_mbps, hours=1.0, low_latency=True, cdn=True, shield=False, streams=1):
    """What `viewers` at once need, each at `bitrate_mbps` of video."""
    each_mbps = (bitrate_mbps + AUDIO_MBPS) * OVERHEAD
    gbps = viewers * each_mbps / 1000
    requests = viewers * requests_per_viewer(low_latency)
    egress_tb = gbps / 8 * 3600 * hours / 1000
    if cdn:
        # CloudFront collapses: a place asks once for each object, however many watch there. Never more than the viewers.
        places = 1 if shield else REGIONAL_CACHES
        fetched = places * streams * requests_per_viewer(low_latency) / TRACKS * (RUNGS + 1)
        edge_requests = min(requests, fetched)
        edge_gbps = min(gbps, places * streams * (LADDER_MBPS + AUDIO_MBPS) * OVERHEAD / 1000)
        delivery = tiered(egress_tb, CLOUDFRONT_TIERS) + requests * 3600 * hours / 10_000 * CLOUDFRONT_PER_10K
    else:
        edge_requests, edge_gbps = requests, gbps
        delivery = tiered(egress_tb, EC2_PER_GB_TIERS)
    edges = edges_for(edge_gbps, edge_requests)
    dollars = delivery + hours * (edges * EDGE_SPOT_HOUR + FIXED_HOUR)
    return Plan(viewers, gbps, requests, edges, egress_tb, dollars)


def grouped(number, digits=0):
    """1234567.8 to 1,234,568."""
    return f"{number:,.{digits}f}"


def row(p):
    """One line of a table."""
    return (
        f"| {grouped(p.viewers)} | {grouped(p.gbps, 1)} | {grouped(p.requests)} | {p.edges} | "
        f"{grouped(p.egress_tb, 1)} | {grouped(p.dollars)} | {p.cents_per_viewer_hour:.1f} |"
    )


def table(bitrate, **options):
    """One table: viewers down, what they need across."""
    lines = [
        "| viewers | Gb/s | requests/s | edges | TB/h | $/h | ¢ per viewer |",
        "|--:|--:|--:|--:|--:|--:|--:|",
    ]
    return "\n".join(lines + [row(plan(10**power, bitrate, **options)) for power in range(3, 8)])


def tables():
    """The part of the guide between the markers."""
    sections = [
        ("5.8 Mb/s (1920 wide), low latency, through CloudFront", table(5.8)),
        ("5.8 Mb/s, ordinary latency, through CloudFront", table(5.8, low_latency=False)),
        ("16 Mb/s (the 4K source itself), low latency, through CloudFront", table(16.0)),
        ("5.8 Mb/s, low latency, edges alone without a CDN", table(5.8, cdn=False)),
    ]
    return "\n\n".join(f"### {title}\n\n{text}" for title, text in sections)


BEGIN, END = "<!-- begin: deploy/capacity.py -->", "<!-- end -->"


def rewritten(text):
    """The guide with fresh tables."""
    before, rest = text.split(BEGIN, 1)
    _, after = rest.split(END, 1)
    return f"{before}{BEGIN}\n{tables()}\n{END}{after}"


def main():
    """Prints, answers or writes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", type=Path, help="guide page whose tables to renew")
    parser.add_argument("--viewers", type=int, help="viewers at once")
    parser.add_argument("--bitrate", type=float, default=5.8, help="Mb/s of video per viewer")
    parser.add_argument("--hours", type=float, default=1.0, help="length of the event")
    parser.add_argument("--streams", type=int, default=1, help="streams at once")
    parser.add_argument("--ordinary-latency", action="store_true", help="no parts")
    parser.add_argument("--no-cdn", action="store_true", help="viewers connect to the edges")
    parser.add_argument("--shield", action="store_true", help="Origin Shield before the edges")
    chosen = parser.parse_args()
    if chosen.write:
        chosen.write.write_text(rewritten(chosen.write.read_text()))
    elif chosen.viewers is not None:
        if chosen.viewers < 1 or chosen.bitrate <= 0 or chosen.hours <= 0 or chosen.streams < 1:
            sys.exit("capacity.py: viewers, bitrate, hours and streams must be above 0")
        p = plan(
            chosen.viewers,
            chosen.bitrate,
            chosen.hours,
            low_latency=not chosen.ordinary_latency,
            cdn=not chosen.no_cdn,
            shield=chosen.shield,
            streams=chosen.streams,
        )
        print(f"viewers see {grouped(p.gbps, 1)} Gb/s and send {grouped(p.requests)} requests/s")
        print(f"edges: {p.edges} (EdgeMinSize={p.edges} EdgeMaxSize={2 * p.edges})")
        print(f"egress: {grouped(p.egress_tb, 1)} TB, about ${grouped(p.dollars)}")
    else:
        print(tables())


if __name__ == "__main__":
    main()
