using Diffract.Compute.Buffers;
using Diffract.Compute.Kernels;
using Diffract.Runs;

namespace Diffract.Llms;

/// <summary>Greedy generation: the likeliest continuation of one prompt or of several at once, with a cache.</summary>
public sealed partial class Llm
{
    /// <summary>Sequences in one step, at most; so many rows of logits are kept.</summary>
    const int StepSequences = 64;

    static readonly int[] NoTargets = [.. Enumerable.Repeat(-1, StepSequences)];

    readonly int[] _argmax = new int[StepSequences];
    readonly double[] _logSumExp = new double[StepSequences];
    readonly double[] _nll = new double[StepSequences];
    int[] _stepIds = new int[64];
    int[] _stepPositions = new int[64];
    int[] _stepRows = new int[64];
    Matrix _stepLogits_RV;

    /// <summary>
    /// The likeliest continuation, with a key-value cache: <paramref name="newTokens"/> ids, or fewer when <paramref name="stopAtEnd"/> and an end id (the last one returned) comes.
    /// An empty prompt starts from the model's BOS, which is not returned.
    /// </summary>
    public int[] Greedy(ReadOnlySpan<int> prompt, int newTokens, bool stopAtEnd, CancellationToken stop = default) => GreedyBatch([prompt.ToArray()], newTokens, stopAtEnd, stop)[0];

    /// <summary>
    /// As <see cref="Greedy"/> for several prompts of any lengths, which share each step's pass over the weights; the same ids as one by one. Sequences that
    /// have ended leave the steps. Keys and values of all of them are kept at once (<see cref="CacheBytes"/>): it is for the caller to ask for no more prompts than memory allows.
    /// </summary>
    public int[][] GreedyBatch(IReadOnlyList<int[]> prompts, int newTokens, bool stopAtEnd, CancellationToken stop = default)
        => GreedyBatch(prompts, newTokens, stopAtEnd ? Config.EndIds : [], stop);

    /// <summary>The same, where a continuation ends after the first of <paramref name="ends"/>, which it keeps.</summary>
    public int[][] GreedyBatch(IReadOnlyList<int[]> prompts, int newTokens, IReadOnlyList<int> ends, CancellationToken stop = default)
    {
        Continuation[] all = new Continuation[prompts.Count];
        int rows = 0;
        for (int i = 0; i < all.Length; i++)
        {
            int[] prompt = prompts[i].Length > 0 ? prompts[i] : [Config.BosId ?? throw new DiffractException("an empty prompt cannot be continued: the model's config.json names no bos_token_id")];
            CheckIds(prompt);
            CheckPositions(prompt.Length + newTokens - 1);
            all[i] = new Continuation(prompt, newTokens, rows);
            rows = checked(rows + prompt.Length + newTokens);
        }

        KeyValueCache cache = Cache(rows);
        List<Continuation> active = [.. newTokens > 0 ? all : []];
        Predicate<Continuation> ended = c => c.Count == newTokens || ends.Contains(c.Ids[c.Count - 1]);
        while (active.Count > 0)
        {
            for (int first = 0; first < active.Count;)
            {
                stop.ThrowIfCancellationRequested();
                first += Step(active, first, cache);
            }

            active.RemoveAll(ended);
        }

        return [.. all.Select(c => c.Ids[..c.Count])];
    }

    /// <summary>Bytes of keys and values that <paramref name="tokens"/> tokens of all sequences together, prompts and continuations, take in a cache.</summary>
    public static long CacheBytes(LlmConfig config, long tokens) => 2L * sizeof(float) * config.Layers * config.KeyValueHeads * config.HeadWidth * tokens;

    /// <summary>Takes some of the sequences from <paramref name="first"/> on one id further, as many as make a chunk, and returns how many these were.</summary>
    int Step(List<Continuation> active, int first, KeyValueCache cache)
    {
        int count = 0, tokens = 0, longest = 0;
        while (count < StepSequences && first + count < active.Count && (count == 0 || tokens + active[first + count].Pending.Length <= ChunkTokens))
        {
            tokens += active[first + count++].Pending.Length;
        }

        Grow(tokens, count);
        for (int i = 0, row = 0; i < count; i++)
        {
            Continuation c = active[first + i];
            ReadOnlySpan<int> pending = c.Pending;
            pending.CopyTo(_stepIds.AsSpan(row));
            for (int t = 0; t < pending.Length; t++)
            {
                _stepPositions[row + t] = c.Length + t;
            }

            c.Length += pending.Length;
            longest = Math.Max(longest, c.Length);
            _spans[i] = new SequenceSpan(row, pending.Length, c.FirstRow, c.Length);
            row += pending.Length;
            _stepRows[i] = row - 1;
        }

        ReadOnlySpan<int> positions = _stepPositions.AsSpan(0, tokens);
        Matrix x_TD = _work.Resid(tokens), logits_RV = _stepLogits_RV.SliceRows(0, count);
        Embed(_stepIds.AsSpan(0, tokens), positions, x_TD);
        for (int layer = 0; layer < Config.Layers; layer++)
        {
            _block.Run(layer, x_TD, positions, _spans.AsSpan(0, count), longest, cache);
        }

        Logits(x_TD, _stepRows.AsSpan(0, count), logits_RV);
        _kernels.LogitStatistics(logits_RV, NoTargets.AsSpan(0, count), _logSumExp.AsSpan(0, count), _argmax.AsSpan(0, count), _nll.AsSpan(0, count));
        for (int i = 0; i < count; i++)
        {
            Continuation c = active[first + i];
            c.Ids[c.Count++] = _argmax[i];
        }

        return count;
    }

    void Grow(int tokens, int sequences)
    {
        if (_stepIds.Length < tokens)
        {
            (_stepIds, _stepPositions) = (new int[tokens], new int[tokens]);
        }

        if (_spans.Length < sequences)
        {
            _spans = new SequenceSpan[StepSequences];
        }

        if (_stepLogits_RV.Rows < sequences)
        {
            _stepLogits_RV.Buffer?.Dispose();
            _stepLogits_RV = default;
            _stepLogits_RV = _backend.Matrix(sequences, Config.Vocabulary);
        }
    }

    KeyValueCache Cache(int capacity)
    {
        if (_cache is null || _cache.Capacity < capacity)
        {
            _cache?.Dispose();
            _cache = null;
            _cache = new KeyValueCache(_backend, Config, Math.Max(capacity, 128));
        }

        return _cache;
    }

    /// <summary>One sequence: what it has, and its rows of the cache.</summary>
    sealed class Continuation(int[] prompt, int newTokens, int firstRow)
    {
        public int FirstRow { get; } = firstRow;

        /// <summary>Tokens whose keys and values are in the cache.</summary>
        public int Length { get; set; }

        public int[] Ids { get; } = new int[newTokens];

        /// <summary>New ids so far.</summary>
        public int Count { get; set; }

        /// <summary>What has to go through the model next: the prompt, or the last new id.</summary>
        public ReadOnlySpan<int> Pending => Count == 0 ? prompt : Ids.AsSpan(Count - 1, 1);
    }
}
