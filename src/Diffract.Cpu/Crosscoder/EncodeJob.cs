namespace Diffract.Cpu.Crosscoder;

/// <summary>One call of <see cref="EncodeSelect"/>, as its tasks see it.</summary>
unsafe struct EncodeJob
{
    /// <summary>Latents of a block: whole tiles on every path.</summary>
    public const int BlockLatents = 48;

    /// <summary>[B, E], rows <see cref="ActsStride"/> apart.</summary>
    public float* Acts;
    public nint ActsStride;

    /// <summary>[L, E], rows <see cref="WStride"/> apart.</summary>
    public float* W;
    public nint WStride;

    /// <summary>[L].</summary>
    public float* Bias;

    /// <summary>[L]: the code norm s.</summary>
    public float* Scale;

    /// <summary>What is compared with the floor is p, not p·s.</summary>
    public bool Unscaled;

    /// <summary>E.</summary>
    public int Depth;
    public int Latents;
    public int Tokens;

    /// <summary>[panel][E][columns]: the activations, packed.</summary>
    public float* Panels;
    public int PanelCount;

    /// <summary>
    /// Per worker twice [<see cref="BlockLatents"/>][columns]: the block's p for one panel of tokens, which never leaves the first-level cache, and the biases that it
    /// starts from.
    /// </summary>
    public float* Tile;

    /// <summary>Per worker: for each latent of the block, room for <see cref="BinRoom"/> tokens and values.</summary>
    public int* BinTokens;
    public float* BinValues;
    public int BinRoom;

    /// <summary>Blocks of latents.</summary>
    public int Blocks;

    /// <summary>Only every so many-th block is looked at.</summary>
    public int Stride;

    /// <summary>Pairs below it are dropped; above 0.</summary>
    public float Floor;

    /// <summary>[L]: what a pair's q must exceed, in place of the floor; null when one floor serves all.</summary>
    public float* FloorEach;

    /// <summary>[L]: pairs of each latent.</summary>
    public int* Counts;
    public FoundPairs.Place* Places;
    public FoundPairs.Found* Lists;

    /// <summary>Null in a call that is not screened.</summary>
    public ScreenJob* Screen;

    public readonly FoundPairs View() => new()
    {
        Latents = Latents,
        BlockLatents = BlockLatents,
        Blocks = Blocks,
        Stride = Stride,
        Counts = Counts,
        Places = Places,
        Lists = Lists,
        Scale = Scale,
    };

    public readonly float FloorOf(int latent) => FloorEach == null ? Floor : MathF.BitIncrement(Math.Max(0, FloorEach[latent]));
}
