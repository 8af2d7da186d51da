using Diffract.Compute.Buffers;

namespace Diffract.Compute.Kernels;

/// <summary>
/// The active (token, latent) pairs of one batch, in both orders. Pairs are sorted by latent, then token (the *latent-major*
/// order in which values and gradients are stored); <see cref="TokenPairs"/> lists the same pairs by token, then latent.
/// Host memory for the CPU and the reference; it grows when a batch needs more, so that a warm step allocates nothing.
/// </summary>
public sealed class SparseCode : IDisposable
{
    HostBuffer? _pairInput;

    /// <param name="tokens">Most tokens B of a batch.</param>
    /// <param name="latents">Size of the dictionary L.</param>
    /// <param name="pairs">Pairs to make room for at first.</param>
    public SparseCode(int tokens, int latents, int pairs)
    {
        MaxTokens = tokens;
        Latents = latents;
        ShardSize = VirtualShards.Size(latents);
        LatentStart = new HostBuffer(ElementType.Int32, latents + 1);
        TokenStart = new HostBuffer(ElementType.Int32, tokens + 1);
        Reserve(Math.Max(pairs, 16));
    }

    public int MaxTokens { get; }

    /// <summary>L.</summary>
    public int Latents { get; }

    /// <summary>Latents of a virtual shard: sums over latents are taken by shard. <see cref="VirtualShards.Size"/> of the whole dictionary, also where this is a part of it.</summary>
    public int ShardSize { get; init; }

    /// <summary>Tokens in the batch that the code was made from.</summary>
    public int Tokens { get; set; }

    /// <summary>Number of active pairs.</summary>
    public int Pairs { get; set; }

    /// <summary>Room, in pairs.</summary>
    public int Capacity { get; private set; }

    /// <summary>[L + 1] int32: pairs of latent j are LatentStart[j] .. LatentStart[j + 1] - 1.</summary>
    public HostBuffer LatentStart { get; }

    /// <summary>[pairs] int32: the token of each pair, latent-major.</summary>
    public HostBuffer PairToken { get; private set; } = null!;

    /// <summary>[pairs] float32: the unscaled code f of each pair, latent-major; always above 0.</summary>
    public HostBuffer PairValue { get; private set; } = null!;

    /// <summary>[pairs] float32: dLoss/df of each pair, latent-major; written by CodeGradient.</summary>
    public HostBuffer PairGradient { get; private set; } = null!;

    /// <summary>[pairs] float32: p of each pair before a gate, latent-major; made when a gate first asks for it, written by JumpGate.</summary>
    public HostBuffer PairInput => _pairInput ??= new HostBuffer(ElementType.Float32, Capacity);

    /// <summary>[B + 1] int32: entries of token b are TokenStart[b] .. TokenStart[b + 1] - 1.</summary>
    public HostBuffer TokenStart { get; }

    /// <summary>[pairs] int32: the latent of each entry, token-major.</summary>
    public HostBuffer TokenLatent { get; private set; } = null!;

    /// <summary>[pairs] int32: the latent-major position of each token-major entry.</summary>
    public HostBuffer TokenPairs { get; private set; } = null!;

    /// <summary>
    /// Smallest scaled value q = f·s among the pairs (0 when there is none): what the inference threshold follows.
    /// </summary>
    public float SmallestScaled { get; set; }

    /// <summary>[M + 1]: the models' columns where the code is decoupled, so that a pair may be active in some models only; null where every pair is active in all.</summary>
    public int[]? ModelOffsets { get; private set; }

    /// <summary>[pairs] int32, latent-major, of a decoupled code: bit m is set where the pair is active in model m. Never 0.</summary>
    public HostBuffer? PairModels { get; private set; }

    /// <summary>[M], of a decoupled code: the smallest f·‖d_m‖ among the pairs active in each model; 0 where there is none.</summary>
    public float[] SmallestByModel { get; private set; } = [];

    /// <summary>Makes the code decoupled over these models, or whole with null. After <see cref="Reserve"/>.</summary>
    public void Decouple(int[]? modelOffsets)
    {
        ModelOffsets = modelOffsets;
        if (modelOffsets is null)
        {
            return;
        }

        if (PairModels is null || PairModels.Length < Capacity)
        {
            PairModels?.Dispose();
            PairModels = new HostBuffer(ElementType.Int32, Capacity);
        }

        if (SmallestByModel.Length != modelOffsets.Length - 1)
        {
            SmallestByModel = new float[modelOffsets.Length - 1];
        }
    }

    /// <summary>Makes room for <paramref name="pairs"/> pairs; what was stored is lost.</summary>
    public void Reserve(int pairs)
    {
        if (pairs <= Capacity)
        {
            return;
        }

        Release();
        // By half at least: a code that grows a little with every batch seldom allocates.
        pairs = Capacity = (int)Math.Max(pairs, Math.Min(int.MaxValue, Capacity * 3L / 2));
        PairToken = new HostBuffer(ElementType.Int32, pairs);
        PairValue = new HostBuffer(ElementType.Float32, pairs);
        PairGradient = new HostBuffer(ElementType.Float32, pairs);
        TokenLatent = new HostBuffer(ElementType.Int32, pairs);
        TokenPairs = new HostBuffer(ElementType.Int32, pairs);
    }

    public void Dispose()
    {
        Release();
        LatentStart.Dispose();
        TokenStart.Dispose();
        PairModels?.Dispose();
    }

    void Release()
    {
        _pairInput?.Dispose();
        _pairInput = null;
        PairToken?.Dispose();
        PairValue?.Dispose();
        PairGradient?.Dispose();
        TokenLatent?.Dispose();
        TokenPairs?.Dispose();
    }
}
