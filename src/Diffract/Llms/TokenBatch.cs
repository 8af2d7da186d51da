using Diffract.Compute.Kernels;

namespace Diffract.Llms;

/// <summary>Sequences of token ids laid end to end, without padding. Filled again and again without allocating.</summary>
public sealed class TokenBatch
{
    readonly int[] _ids;
    readonly int[] _positions;
    readonly SequenceSpan[] _spans;

    public TokenBatch(int maxTokens, int maxSequences)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(maxTokens);
        ArgumentOutOfRangeException.ThrowIfNegative(maxSequences);
        _ids = new int[maxTokens];
        _positions = new int[maxTokens];
        _spans = new SequenceSpan[maxSequences];
    }

    public int Tokens { get; private set; }

    public int Sequences { get; private set; }

    /// <summary>All ids, in order of the rows.</summary>
    public ReadOnlySpan<int> Ids => _ids.AsSpan(0, Tokens);

    /// <summary>Position of each token in its sequence.</summary>
    public ReadOnlySpan<int> Positions => _positions.AsSpan(0, Tokens);

    /// <summary>Rows of each sequence.</summary>
    public ReadOnlySpan<SequenceSpan> Spans => _spans.AsSpan(0, Sequences);

    public void Clear() => (Tokens, Sequences) = (0, 0);

    /// <summary>Whether a sequence of this length still fits.</summary>
    public bool Fits(int length) => Sequences < _spans.Length && Tokens + length <= _ids.Length;

    /// <summary>Appends a sequence; its first token has position 0.</summary>
    public void Add(ReadOnlySpan<int> ids)
    {
        if (!Fits(ids.Length))
        {
            throw new InvalidOperationException($"the batch holds {Tokens} of {_ids.Length} tokens in {Sequences} of {_spans.Length} sequences; {ids.Length} more do not fit");
        }

        ids.CopyTo(_ids.AsSpan(Tokens));
        for (int i = 0; i < ids.Length; i++)
        {
            _positions[Tokens + i] = i;
        }

        _spans[Sequences++] = new SequenceSpan(Tokens, ids.Length, Tokens, ids.Length);
        Tokens += ids.Length;
    }
}
