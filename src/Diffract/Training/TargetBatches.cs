using Diffract.Activations;
using Diffract.Compute.Buffers;
using Diffract.Runs;

namespace Diffract.Training;

/// <summary>One model's activations, or the difference of two, out of paired batches: what an SAE is trained on.</summary>
public sealed class TargetBatches : IBatchSource
{
    readonly IBatchSource _pairs;
    readonly SaeTarget _target;
    Matrix? _pairs_BE;

    /// <param name="pairs">Batches of a base and a chat model.</param>
    /// <param name="target">What to take.</param>
    /// <exception cref="DiffractException">Other than two models, or a difference of models of unequal width.</exception>
    public TargetBatches(IBatchSource pairs, SaeTarget target)
    {
        int[] offsets = pairs.ModelOffsets;
        if (offsets.Length != 3 || (target >= SaeTarget.DifferenceBc && offsets[1] != offsets[2] - offsets[1]))
        {
            throw DiffractException.Argument($"--target {SaeTargets.Name(target)} does not fit models that end at columns [{string.Join(", ", offsets.Skip(1))}]; wanted two, for a difference of one width");
        }

        (_pairs, _target) = (pairs, target);
        ModelOffsets = [0, target == SaeTarget.Base ? offsets[1] : offsets[2] - offsets[1]];
    }

    public int[] ModelOffsets { get; }

    public long DistinctTokens => _pairs.DistinctTokens;

    public void Fill(long index, Matrix acts_BE)
    {
        if (_pairs_BE is not { } pairs_BE || pairs_BE.Rows < acts_BE.Rows)
        {
            _pairs_BE?.Buffer.Dispose();
            _pairs_BE = pairs_BE = Matrix.Host(acts_BE.Rows, _pairs.ModelOffsets[^1]);
        }

        pairs_BE = pairs_BE.SliceRows(0, acts_BE.Rows);
        _pairs.Fill(index, pairs_BE);
        SaeTargets.Take(pairs_BE, _pairs.ModelOffsets[1], _target, acts_BE);
    }
}
