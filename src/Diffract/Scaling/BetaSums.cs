using Diffract.Compute.Buffers;
using Diffract.Compute.Kernels;
using Diffract.Crosscoders;

namespace Diffract.Scaling;

/// <summary>
/// The running sums behind every beta of every latent, kept apart for blocks of documents so that errors come from leaving one block out. Direction v_j of latent j: its
/// decoder row in the last model (the chat model), or one that is given. Codes float32, sums double.
/// </summary>
public sealed class BetaSums : IDisposable
{
    readonly IScalingKernels _kernels;
    readonly HostBuffer[] _blocks;
    readonly HostBuffer[] _remainders;
    readonly double[][] _own;
    readonly int[] _modelOffsets;
    readonly int? _codeModel;
    readonly Matrix _directions_LD;
    readonly Matrix? _remainder_LD;

    /// <summary>Along each latent's decoder row in the last model.</summary>
    /// <param name="kernels">Who sums.</param>
    /// <param name="wDec_LE">[L, E] decoder rows; used while summing.</param>
    /// <param name="modelOffsets">[M + 1]; all models of one width D.</param>
    /// <param name="blocks">Number of blocks.</param>
    public BetaSums(IScalingKernels kernels, Matrix wDec_LE, int[] modelOffsets, int blocks)
        : this(kernels, Directions(wDec_LE, modelOffsets), null, modelOffsets, blocks, null)
    {
    }

    /// <param name="kernels">Who sums.</param>
    /// <param name="directions_LD">[L, D]: v; used while summing.</param>
    /// <param name="remainder_LD">What rounding v to float32 took away, where v is given in double; null: nothing.</param>
    /// <param name="modelOffsets">[M + 1]; all models of one width D.</param>
    /// <param name="blocks">Number of blocks.</param>
    /// <param name="codeModel">The model whose part of a decoupled code is summed; null for a code of all models.</param>
    public BetaSums(IScalingKernels kernels, Matrix directions_LD, Matrix? remainder_LD, int[] modelOffsets, int blocks, int? codeModel)
    {
        (_kernels, _modelOffsets, _codeModel, _directions_LD, _remainder_LD) = (kernels, modelOffsets, codeModel, directions_LD, remainder_LD);
        Latents = directions_LD.Rows;
        Models = modelOffsets.Length - 1;
        _blocks = Buffers(blocks);
        _remainders = Buffers(remainder_LD is null ? 0 : blocks);
        _own = [.. Enumerable.Range(0, codeModel is null ? 0 : blocks).Select(_ => new double[Latents * Models])];
    }

    public int Latents { get; }

    public int Models { get; }

    public int Blocks => _blocks.Length;

    /// <summary>Sums of a latent: count, S = Σf, C = Σf², A by model, R by model.</summary>
    public int Columns => ScalingShapes.Columns(Models);

    /// <summary>Of a decoupled code M more: Σ f² over the tokens on which the latent is active in the code that is summed and in that of each model, which is what a model's own part adds to its error target.</summary>
    public int TotalColumns => Columns + (_codeModel is null ? 0 : Models);

    /// <summary>v_j of every latent, a view of <paramref name="wDec_LE"/>.</summary>
    public static Matrix Directions(Matrix wDec_LE, ReadOnlySpan<int> modelOffsets) => wDec_LE.SliceColumns(modelOffsets[^2], modelOffsets[^1] - modelOffsets[^2]);

    /// <summary>Adds a batch of one block. Of a decoupled code all models' parts are given, and the chosen one is left.</summary>
    /// <param name="block">Which block.</param>
    /// <param name="code">Unscaled code of the batch.</param>
    /// <param name="acts_BE">[B, E].</param>
    /// <param name="recon_BE">[B, E], with bias.</param>
    public void Add(int block, SparseCode code, Matrix acts_BE, Matrix recon_BE)
    {
        if (_codeModel is { } model)
        {
            AddOwn(block, code, model);
            CodeFilter.KeepModel(code, model);
        }

        _kernels.Accumulate(code, acts_BE, recon_BE, _directions_LD, _modelOffsets, _blocks[block]);
        if (_remainder_LD is { } remainder_LD)
        {
            _kernels.Accumulate(code, acts_BE, recon_BE, remainder_LD, _modelOffsets, _remainders[block]);
        }
    }

    /// <summary>Lets <paramref name="read"/> fill in a block's sums, [L, 3 + 2M]; they stay zero when it says that it has none, and of a decoupled code, whose sums are more than these.</summary>
    public bool Restore(int block, SumsReader read) => _codeModel is null && read(_blocks[block].Span<double>());

    /// <summary>[3 + 2M]: the sums of one latent in one block.</summary>
    public ReadOnlySpan<double> Block(int block, int latent) => _blocks[block].Span<double>().Slice(latent * Columns, Columns);

    /// <summary>All sums of a block, [L, 3 + 2M].</summary>
    public ReadOnlySpan<double> Block(int block) => _blocks[block].Span<double>();

    /// <summary>Sums of a latent over all blocks but <paramref name="without"/> (-1: over all), added in the order of the blocks.</summary>
    /// <param name="latent">Which latent.</param>
    /// <param name="sums">[<see cref="TotalColumns"/>], written.</param>
    /// <param name="without">The block that is left out.</param>
    public void Total(int latent, Span<double> sums, int without = -1)
    {
        sums.Clear();
        for (int block = 0; block < Blocks; block++)
        {
            if (block == without)
            {
                continue;
            }

            Add(Block(block, latent), sums);
            if (_remainders.Length > 0)
            {
                Add(_remainders[block].Span<double>().Slice(latent * Columns + 3, 2 * Models), sums[3..]);
            }

            if (_own.Length > 0)
            {
                Add(_own[block].AsSpan(latent * Models, Models), sums[Columns..]);
            }
        }

        static void Add(ReadOnlySpan<double> from, Span<double> to)
        {
            for (int i = 0; i < from.Length; i++)
            {
                to[i] += from[i];
            }
        }
    }

    public void Dispose()
    {
        foreach (HostBuffer block in (HostBuffer[])[.. _blocks, .. _remainders])
        {
            block.Dispose();
        }
    }

    HostBuffer[] Buffers(int count) => [.. Enumerable.Range(0, count).Select(_ => new HostBuffer(ElementType.Float64, (long)Latents * Columns))];

    void AddOwn(int block, SparseCode code, int model)
    {
        ReadOnlySpan<int> start = code.LatentStart.Span<int>(), models = code.PairModels!.Span<int>();
        ReadOnlySpan<float> value = code.PairValue.Span<float>();
        for (int j = 0; j < Latents; j++)
        {
            for (int p = start[j]; p < start[j + 1]; p++)
            {
                for (int m = 0; m < Models && (models[p] >> model & 1) != 0; m++)
                {
                    _own[block][j * Models + m] += (models[p] >> m & 1) != 0 ? (double)value[p] * value[p] : 0;
                }
            }
        }
    }
}
