using Diffract.Compute.Buffers;
using Diffract.Compute.Kernels;

namespace Diffract.Scaling;

/// <summary>
/// The running sums behind every beta of every latent, kept apart for blocks of documents so that errors come from leaving one block out. Direction v_j of latent j: its
/// decoder row in the last model (the chat model). Codes float32, sums double.
/// </summary>
public sealed class BetaSums : IDisposable
{
    readonly IScalingKernels _kernels;
    readonly HostBuffer[] _blocks;
    readonly int[] _modelOffsets;
    readonly Matrix _directions_LD;

    /// <param name="kernels">Who sums.</param>
    /// <param name="wDec_LE">[L, E] decoder rows; used while summing.</param>
    /// <param name="modelOffsets">[M + 1]; all models of one width D.</param>
    /// <param name="blocks">Number of blocks.</param>
    public BetaSums(IScalingKernels kernels, Matrix wDec_LE, int[] modelOffsets, int blocks)
    {
        _kernels = kernels;
        _modelOffsets = modelOffsets;
        Latents = wDec_LE.Rows;
        Models = modelOffsets.Length - 1;
        _directions_LD = Directions(wDec_LE, modelOffsets);
        _blocks = [.. Enumerable.Range(0, blocks).Select(_ => new HostBuffer(ElementType.Float64, (long)Latents * Columns))];
    }

    public int Latents { get; }

    public int Models { get; }

    public int Blocks => _blocks.Length;

    /// <summary>Sums of a latent: count, S = Σf, C = Σf², A by model, R by model.</summary>
    public int Columns => ScalingShapes.Columns(Models);

    /// <summary>v_j of every latent, a view of <paramref name="wDec_LE"/>.</summary>
    public static Matrix Directions(Matrix wDec_LE, ReadOnlySpan<int> modelOffsets) => wDec_LE.SliceColumns(modelOffsets[^2], modelOffsets[^1] - modelOffsets[^2]);

    /// <summary>Adds a batch of one block.</summary>
    /// <param name="block">Which block.</param>
    /// <param name="code">Unscaled code of the batch.</param>
    /// <param name="acts_BE">[B, E].</param>
    /// <param name="recon_BE">[B, E], with bias.</param>
    public void Add(int block, SparseCode code, Matrix acts_BE, Matrix recon_BE)
        => _kernels.Accumulate(code, acts_BE, recon_BE, _directions_LD, _modelOffsets, _blocks[block]);

    /// <summary>Lets <paramref name="read"/> fill in a block's sums, [L, 3 + 2M]; they stay zero when it says that it has none.</summary>
    public bool Restore(int block, SumsReader read) => read(_blocks[block].Span<double>());

    /// <summary>[3 + 2M]: the sums of one latent in one block.</summary>
    public ReadOnlySpan<double> Block(int block, int latent) => _blocks[block].Span<double>().Slice(latent * Columns, Columns);

    /// <summary>All sums of a block, [L, 3 + 2M].</summary>
    public ReadOnlySpan<double> Block(int block) => _blocks[block].Span<double>();

    /// <summary>Sums of a latent over all blocks but <paramref name="without"/> (-1: over all), added in the order of the blocks.</summary>
    public void Total(int latent, Span<double> sums, int without = -1)
    {
        sums.Clear();
        for (int block = 0; block < Blocks; block++)
        {
            if (block != without)
            {
                ReadOnlySpan<double> of = Block(block, latent);
                for (int i = 0; i < sums.Length; i++)
                {
                    sums[i] += of[i];
                }
            }
        }
    }

    public void Dispose()
    {
        foreach (HostBuffer block in _blocks)
        {
            block.Dispose();
        }
    }
}
