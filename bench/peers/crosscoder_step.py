"""The BatchTopK training step of bench/Diffract.Bench in PyTorch, written densely with autograd as published trainers do.

    env -u OPENBLAS_CORETYPE -u OPENBLAS_L2_SIZE python3 crosscoder_step.py --width 256 --latents 8192 --tokens 1024 --k 32

Two models of equal width. Same objective: the mean over tokens and models of the unsquared error norm, the k·B largest p·s of the batch kept with their
unscaled p, gradients clipped to norm 1, Adam. No auxiliary loss, as in the bench's first rows.
"""

import argparse
import statistics
import time

import torch


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--width", type=int, default=256, help="of each model")
    parser.add_argument("--latents", type=int, default=8192)
    parser.add_argument("--tokens", type=int, default=1024)
    parser.add_argument("--k", type=int, default=32)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--warm", type=int, default=10)
    parser.add_argument("--steps", type=int, default=25)
    return parser.parse_args()


def planted(tokens: int, width: int, count: int) -> list[torch.Tensor]:
    """Batches [B, 2, D] of a few of many directions with log-normal rates, one always on, and noise."""
    generator = torch.Generator().manual_seed(5)
    directions = torch.randn(2048, 2 * width, generator=generator) / (2 * width) ** 0.5
    rates = torch.exp(1.5 * torch.randn(2048, generator=generator))
    rates = (rates * 25 / rates.sum()).clamp(max=1)
    rates[0] = 1
    batches = []
    for _ in range(count):
        on = torch.rand(tokens, 2048, generator=generator) < rates
        strength = 1 + 3 * torch.rand(tokens, 2048, generator=generator)
        noise = 0.05 * (2 * torch.rand(tokens, 2 * width, generator=generator) - 1)
        batches.append(((on * strength) @ directions + noise).view(tokens, 2, width))
    return batches


def main() -> None:
    args = parse()
    torch.set_num_threads(args.threads)
    torch.manual_seed(1)
    first = torch.randn(args.width, args.latents)
    first /= first.norm(dim=0, keepdim=True)
    w_enc = torch.stack([first, first]).clone().requires_grad_()  # [M, D, L]
    b_enc = torch.zeros(args.latents, requires_grad=True)
    w_dec = torch.stack([first.T, first.T]).clone().requires_grad_()  # [M, L, D]
    b_dec = torch.zeros(2, args.width, requires_grad=True)
    parameters = [w_enc, b_enc, b_dec, w_dec]
    optimizer = torch.optim.Adam(parameters, lr=2e-3)
    batches = planted(args.tokens, args.width, 8)

    def step(acts: torch.Tensor) -> float:
        p = torch.relu(torch.einsum("bmd,mdl->bl", acts, w_enc) + b_enc)
        with torch.no_grad():
            scale = w_dec.norm(dim=2).sum(dim=0)
            kept = (p * scale).flatten().topk(args.k * args.tokens, sorted=False).indices
            mask = torch.zeros(p.numel(), dtype=p.dtype).scatter_(0, kept, 1).view_as(p)
        recon = torch.einsum("bl,mld->bmd", p * mask, w_dec) + b_dec
        loss = (acts - recon).norm(dim=2).mean()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        return loss.item()

    seconds = []
    for i in range(args.warm + args.steps):
        start = time.perf_counter()
        loss = step(batches[i % len(batches)])
        if i >= args.warm:
            seconds.append(time.perf_counter() - start)
    median = statistics.median(seconds)
    print(
        f"torch {torch.__version__}, {args.threads} threads: median {median * 1e3:.1f} ms, fastest {min(seconds) * 1e3:.1f} ms, "
        f"{args.tokens / median:.0f} tokens/s, last loss {loss:.4f}"
    )


if __name__ == "__main__":
    main()
