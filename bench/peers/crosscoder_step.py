"""One training step of a crosscoder in PyTorch, written from the formulas: densely with autograd, as published trainers do it, and sparsely by hand.

`Diffract.Bench peer` starts it, hands it the same first weights and batches, checks that both compute the same losses, and takes turns with it.
It reads one JSON line (the case), then a number of steps a line; it answers each with one JSON line of seconds and losses.

Objective of BatchTopK: the mean over tokens and models of the unsquared error norm, with the k·B largest p·s of the batch kept at their unscaled p, plus alpha times
the auxiliary loss of dead latents; gradients clipped to norm 1; Adam. Of L1: the same mean plus mu times the mean of sum f·s; no clipping.
"""

import json
import sys
import time

import torch

CASE = json.loads(sys.stdin.readline())
B, M, D, L = CASE["tokens"], CASE["models"], CASE["width"], CASE["latents"]
E = M * D
torch.set_num_threads(CASE["threads"])


def read(path: str, *shape: int) -> torch.Tensor:
    size = 1
    for n in shape:
        size *= n
    return torch.from_file(path, shared=False, size=size, dtype=torch.float32).clone().view(*shape)


def blas() -> str:
    """The matrix library that is really loaded."""
    if torch.backends.mkl.is_available():
        return "MKL"
    with open("/proc/self/maps", encoding="utf-8") as maps:
        names = {line.rsplit("/", 1)[-1].strip() for line in maps if "blas" in line or "mkl" in line}
    return ", ".join(sorted(name for name in names if name.startswith(("libopenblas", "libblas", "libmkl")))) or "no BLAS"


def adam(parameters: list[torch.Tensor]) -> torch.optim.Optimizer:
    try:  # torch 2.4 and newer have one pass on the CPU
        return torch.optim.Adam(parameters, lr=CASE["lr"], fused=True)
    except (RuntimeError, TypeError):
        return torch.optim.Adam(parameters, lr=CASE["lr"])


class Dead:
    """Tokens since each latent last fired."""

    def __init__(self) -> None:
        self.since = torch.zeros(L, dtype=torch.long)

    def observe(self, fired: torch.Tensor) -> torch.Tensor:
        self.since += B
        self.since[fired] = 0
        return self.since >= CASE["dead_after"]


class Dense:
    """Everything as whole [B, L] matrices under autograd."""

    def __init__(self) -> None:
        enc = read(CASE["encoder"], L, M, D)
        dec = read(CASE["decoder"], L, M, D)
        self.w_enc = enc.permute(1, 2, 0).contiguous().requires_grad_()  # [M, D, L]
        self.b_enc = read(CASE["encoder_bias"], L).requires_grad_()
        self.w_dec = dec.permute(1, 0, 2).contiguous().requires_grad_()  # [M, L, D]
        self.b_dec = read(CASE["decoder_bias"], M, D).requires_grad_()
        self.parameters = [self.w_enc, self.b_enc, self.b_dec, self.w_dec]
        self.optimizer = adam(self.parameters)
        self.dead = Dead()

    def step(self, acts_BE: torch.Tensor) -> float:
        acts = acts_BE.view(B, M, D)
        p = torch.relu(torch.einsum("bmd,mdl->bl", acts, self.w_enc) + self.b_enc)
        loss = self.l1(acts, p) if CASE["kind"] == "l1" else self.batch_top_k(acts, p)
        self.optimizer.zero_grad()
        loss.backward()
        if CASE["kind"] != "l1":
            torch.nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.optimizer.step()
        return loss.item()

    def l1(self, acts: torch.Tensor, f: torch.Tensor) -> torch.Tensor:
        recon = torch.einsum("bl,mld->bmd", f, self.w_dec) + self.b_dec
        scale = self.w_dec.norm(dim=2).sum(dim=0)
        return (acts - recon).norm(dim=2).mean() + CASE["mu"] * (f * scale).sum(dim=1).mean()

    def batch_top_k(self, acts: torch.Tensor, p: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            q = p * self.w_dec.norm(dim=2).sum(dim=0)
            kept = q.flatten().topk(CASE["k"] * B, sorted=False).indices
            mask = torch.zeros(p.numel(), dtype=p.dtype).scatter_(0, kept, 1).view_as(p)
        f = p * mask
        error = acts - torch.einsum("bl,mld->bmd", f, self.w_dec) - self.b_dec
        loss = error.norm(dim=2).mean()
        dead = self.dead.observe(f.detach().sum(dim=0) > 0)
        if dead.any():
            with torch.no_grad():
                ranked = torch.where(dead, q, torch.full_like(q, -float("inf")))
                top = ranked.topk(min(CASE["k_aux"], int(dead.sum())), dim=1, sorted=False).indices
            code = torch.zeros_like(p).scatter(1, top, p.gather(1, top))
            target = error.detach().reshape(B, E)
            missed = target - torch.einsum("bl,mld->bmd", code, self.w_dec).reshape(B, E)
            spread = (target - target.mean(dim=0)).square().sum(dim=1).mean()
            loss = loss + CASE["alpha"] * missed.square().sum(dim=1).mean() / spread
        return loss


class Sparse:
    """The same without autograd: only active pairs are decoded and differentiated, both weight gradients are weighted row sums."""

    def __init__(self) -> None:
        self.w_enc = read(CASE["encoder"], L, E)
        self.b_enc = read(CASE["encoder_bias"], L)
        self.w_dec = read(CASE["decoder"], L, E)
        self.b_dec = read(CASE["decoder_bias"], E)
        self.parameters = [self.w_enc, self.b_enc, self.b_dec, self.w_dec]
        self.optimizer = adam(self.parameters)
        self.cut = None

    def pairs(self, p: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
        """Flat indices b·L + j of the active pairs."""
        if CASE["kind"] == "l1":
            return (p > 0).flatten().nonzero().squeeze(1)
        q = (p * scale).flatten()
        wanted = CASE["k"] * B
        candidates = None if self.cut is None else (q > 0.85 * self.cut).nonzero().squeeze(1)
        if candidates is None or len(candidates) < wanted:
            values, flat = q.topk(wanted, sorted=False)
        else:  # exact: every kept pair is above the guess
            values, chosen = q[candidates].topk(wanted, sorted=False)
            flat = candidates[chosen]
        self.cut = values.min()
        return flat.sort().values

    def step(self, acts: torch.Tensor) -> float:
        with torch.no_grad():
            return self.update(acts)

    def update(self, acts: torch.Tensor) -> float:
        p = torch.addmm(self.b_enc, acts, self.w_enc.T).relu_()
        norms = self.w_dec.view(L, M, D).norm(dim=2)  # [L, M]
        scale = norms.sum(dim=1)
        flat = self.pairs(p, scale)
        f = p.flatten()[flat]
        token, latent = torch.div(flat, L, rounding_mode="floor"), flat % L
        bag = torch.nn.functional.embedding_bag
        starts = torch.searchsorted(token, torch.arange(B))
        recon = bag(latent, self.w_dec, starts, mode="sum", per_sample_weights=f) + self.b_dec
        error = (acts - recon).view(B, M, D)
        length = error.norm(dim=2, keepdim=True)
        loss = length.mean()
        grad = (-error / (length.clamp_min(1e-30) * (B * M))).view(B, E)
        code_grad = torch.empty_like(f)
        for first in range(0, len(f), 4096):  # gathered rows stay in the cache
            part = slice(first, first + 4096)
            code_grad[part] = (grad[token[part]] * self.w_dec[latent[part]]).sum(dim=1)
        order = torch.argsort(latent, stable=True)
        by_latent, starts_L = token[order], torch.searchsorted(latent[order], torch.arange(L))
        dec_grad = bag(by_latent, grad, starts_L, mode="sum", per_sample_weights=f[order])
        if CASE["kind"] == "l1":
            sums = torch.zeros(L).index_add_(0, latent, f)
            loss = loss + CASE["mu"] * (sums * scale).sum() / B
            code_grad += CASE["mu"] / B * scale[latent]
            pull = (CASE["mu"] / B) * sums[:, None] / norms.clamp_min(1e-30)
            dec_grad += (pull[:, :, None] * self.w_dec.view(L, M, D)).view(L, E)
        enc_grad = bag(by_latent, acts, starts_L, mode="sum", per_sample_weights=code_grad[order])
        self.w_enc.grad, self.w_dec.grad = enc_grad, dec_grad
        self.b_enc.grad = torch.zeros(L).index_add_(0, latent, code_grad)
        self.b_dec.grad = grad.sum(dim=0)
        if CASE["kind"] != "l1":
            torch.nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.optimizer.step()
        return loss.item()


def main() -> None:
    batches = [read(path, B, E) for path in CASE["batches"]]
    step = (Sparse() if CASE["form"] == "sparse" else Dense())
    done = 0
    print(json.dumps({"torch": torch.__version__, "blas": blas()}), flush=True)
    for line in sys.stdin:
        seconds, losses = [], []
        for _ in range(int(line)):
            start = time.perf_counter()
            for group in step.optimizer.param_groups:
                group["lr"] = CASE["lr"] * min(done / CASE["warmup"], 1)
            losses.append(step.step(batches[done % len(batches)]))
            seconds.append(time.perf_counter() - start)
            done += 1
        print(json.dumps({"seconds": seconds, "losses": losses}), flush=True)


if __name__ == "__main__":
    main()
