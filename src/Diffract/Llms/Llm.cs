using Diffract.Compute.Buffers;
using Diffract.Compute.Kernels;
using Diffract.Runs;

namespace Diffract.Llms;

/// <summary>
/// A decoder-only language model: the forward pass, once, for every family. The residual stream after block i is what is harvested and edited. Sequences do not
/// influence each other: a batch gives the same bits as its sequences one by one. One caller at a time; nothing is allocated once a size has been seen.
/// </summary>
public sealed partial class Llm : IDisposable
{
    /// <summary>Tokens that pass through the blocks together, whole sequences: what lies between two operations then stays in the processor's caches.</summary>
    const int ChunkTokens = 1024;

    readonly IBackend _backend;
    readonly ITransformerKernels _kernels;
    readonly LlmWeights _weights;
    readonly LlmWorkspace _work;
    readonly LlmBlock _block;
    readonly float _embeddingScale;
    readonly int _longest;
    SequenceSpan[] _spans = new SequenceSpan[64];
    KeyValueCache? _cache;

    Llm(LlmConfig config, LlmWeights weights, IBackend backend, int maxTokens)
    {
        (Config, _weights, _backend, _kernels) = (config, weights, backend, backend.Transformer);
        _work = new LlmWorkspace(backend, config);
        _block = new LlmBlock(config, weights, _work, backend);
        _embeddingScale = config.Traits.ScalesEmbeddings ? (float)Math.Sqrt(config.Width) : 1;
        _longest = config.LongestSequence;
        MaxTokens = maxTokens;
    }

    public LlmConfig Config { get; }

    /// <summary>The largest batch, in tokens.</summary>
    public int MaxTokens { get; }

    /// <param name="folder">A Hugging Face checkpoint folder: config.json and safetensors.</param>
    /// <param name="backend">Where to compute; stays the caller's.</param>
    /// <param name="maxTokens">The largest batch that will be asked for.</param>
    /// <param name="headNeeded">Whether logits will be asked for.</param>
    public static Llm Load(string folder, IBackend backend, int maxTokens = 4096, bool headNeeded = true)
    {
        LlmConfig config = LlmConfig.Load(folder);
        return new Llm(config, LlmWeights.Load(folder, config, backend, headNeeded), backend, maxTokens);
    }

    /// <summary>The residual stream after block <paramref name="layer"/> (0-based), [batch tokens, D]; later blocks are not computed.</summary>
    public void RunTo(TokenBatch batch, int layer, Matrix resid_TD) => RunTo(batch, [layer], [resid_TD]);

    /// <summary>
    /// The residual streams after several blocks (0-based, ascending) out of one pass, each [batch tokens, D], with the bits of a pass for each; blocks after the last are not computed.
    /// </summary>
    public void RunTo(TokenBatch batch, ReadOnlySpan<int> layers, ReadOnlySpan<Matrix> resid_TD)
    {
        for (int l = 0; l < layers.Length; l++)
        {
            CheckLayer(layers[l]);
            if (l > 0 && layers[l] <= layers[l - 1])
            {
                throw new ArgumentException($"layer {layers[l]} comes after layer {layers[l - 1]}; wanted ascending ones", nameof(layers));
            }
        }

        // The stream runs in the last matrix; what the others want of it is copied on the way.
        Matrix stream_TD = resid_TD[^1];
        Embed(batch, stream_TD);
        for (int first = 0; first < batch.Sequences;)
        {
            int count = ChunkFrom(batch, first), next = 0;
            (int row, int tokens) = Rows(batch, first, count);
            for (int i = 0; i <= layers[^1]; i++)
            {
                Block(i, batch, first, count, stream_TD);
                if (i == layers[next] && ++next < layers.Length)
                {
                    _kernels.Copy(stream_TD.SliceRows(row, tokens), resid_TD[next - 1].SliceRows(row, tokens));
                }
            }

            first += count;
        }
    }

    /// <summary>
    /// Goes on after block <paramref name="layer"/> from a residual stream, edited or not, which is left as it is: the other blocks, the final norm, and the head at
    /// the batch rows named. logits [rows, V] are soft-capped.
    /// </summary>
    public void RunFrom(TokenBatch batch, int layer, Matrix resid_TD, ReadOnlySpan<int> rows, Matrix logits_RV)
        => Logits(Rest(batch, layer, resid_TD), rows, logits_RV);

    /// <summary>The blocks after <paramref name="layer"/> as in <see cref="RunFrom"/>, and the last one's output at the batch rows named: what <see cref="Head"/> makes logits of.</summary>
    public void RunToEnd(TokenBatch batch, int layer, Matrix resid_TD, ReadOnlySpan<int> rows, Matrix last_RD)
        => _kernels.GatherRows(Rest(batch, layer, resid_TD), rows, last_RD);

    /// <summary>The final norm and the head: soft-capped logits [R, V] of the last block's output [R, D]. A row's bits do not depend on the others.</summary>
    public void Head(Matrix last_RD, Matrix logits_RV)
    {
        if (_weights.FinalNorm is not { } norm || _weights.Head is not { } head)
        {
            throw new InvalidOperationException("the model was loaded without its head");
        }

        Matrix final_RD = _work.Final(last_RD.Rows);
        _block.Norm(last_RD, norm, final_RD);
        _kernels.MatMul(final_RD, head, logits_RV);
        if (Config.FinalSoftCap > 0)
        {
            _kernels.SoftCap(logits_RV, Config.FinalSoftCap);
        }
    }

    /// <summary>Gives the memory of the mapped weights back to the system, which reads them from the files again when the model next runs.</summary>
    public void Release() => _weights.Release();

    /// <summary>
    /// Everything at once: <paramref name="onBlock"/> sees the residual stream [T, D] after each block up to <paramref name="lastBlock"/>. With rows, all blocks are computed, and
    /// their soft-capped logits [rows, V].
    /// </summary>
    public void Forward(TokenBatch batch, Matrix resid_TD, int lastBlock, Action<int, Matrix>? onBlock, ReadOnlySpan<int> rows, Matrix logits_RV)
    {
        int last = rows.IsEmpty ? lastBlock : Config.Layers - 1;
        Embed(batch, resid_TD);
        for (int i = 0; i <= last; i++)
        {
            Block(i, batch, 0, batch.Sequences, resid_TD);
            if (i <= lastBlock)
            {
                onBlock?.Invoke(i, resid_TD);
            }
        }

        if (!rows.IsEmpty)
        {
            Logits(resid_TD, rows, logits_RV);
        }
    }

    public void Dispose()
    {
        _cache?.Dispose();
        _stepLogits_RV.Buffer?.Dispose();
        _block.Dispose();
        _work.Dispose();
        _weights.Dispose();
    }

    /// <summary>One block over the sequences first .. first + count - 1 of a batch.</summary>
    void Block(int layer, TokenBatch batch, int first, int count, Matrix resid_TD)
    {
        (int row, int tokens) = Rows(batch, first, count);
        if (_spans.Length < count)
        {
            _spans = new SequenceSpan[count * 2];
        }

        int longest = 0;
        for (int i = 0; i < count; i++)
        {
            SequenceSpan s = batch.Spans[first + i];
            _spans[i] = new SequenceSpan(s.QueryRow - row, s.Length, s.KeyRow - row, s.KeyLength);
            longest = Math.Max(longest, s.Length);
        }

        _block.Run(layer, resid_TD.SliceRows(row, tokens), batch.Positions.Slice(row, tokens), _spans.AsSpan(0, count), longest);
    }

    void Embed(TokenBatch batch, Matrix resid_TD)
    {
        if (batch.Tokens > MaxTokens || resid_TD.Rows != batch.Tokens || resid_TD.Columns != Config.Width)
        {
            throw new ArgumentException($"a batch of {batch.Tokens} tokens (at most {MaxTokens}) into {resid_TD}; wanted [{batch.Tokens}, {Config.Width}]", nameof(resid_TD));
        }

        CheckIds(batch.Ids);
        foreach (SequenceSpan s in batch.Spans)
        {
            CheckPositions(s.Length);
        }

        Embed(batch.Ids, batch.Positions, resid_TD);
    }

    void Embed(ReadOnlySpan<int> ids, ReadOnlySpan<int> positions, Matrix x_TD)
    {
        _kernels.Embed(ids, _weights.Embedding, _embeddingScale, x_TD);
        if (_weights.Positions is { } learned_PD)
        {
            Matrix added_TD = _work.Mixed(ids.Length);
            _kernels.Embed(positions, learned_PD, 1, added_TD);
            _kernels.Add(added_TD, x_TD);
        }
    }

    /// <summary>The stream after the last block.</summary>
    Matrix Rest(TokenBatch batch, int layer, Matrix resid_TD)
    {
        CheckLayer(layer);
        if (layer == Config.Layers - 1)
        {
            return resid_TD;
        }

        Matrix stream_TD = _work.Resid(batch.Tokens);
        for (int first = 0; first < batch.Sequences;)
        {
            int count = ChunkFrom(batch, first);
            (int row, int tokens) = Rows(batch, first, count);
            _kernels.Copy(resid_TD.SliceRows(row, tokens), stream_TD.SliceRows(row, tokens));
            for (int i = layer + 1; i < Config.Layers; i++)
            {
                Block(i, batch, first, count, stream_TD);
            }

            first += count;
        }

        return stream_TD;
    }

    void Logits(Matrix x_TD, ReadOnlySpan<int> rows, Matrix logits_RV)
    {
        Matrix last_RD = _work.Last(rows.Length);
        _kernels.GatherRows(x_TD, rows, last_RD);
        Head(last_RD, logits_RV);
    }

    /// <summary>How many sequences from <paramref name="first"/> on make a chunk: as many whole ones as fit, at least one.</summary>
    static int ChunkFrom(TokenBatch batch, int first)
    {
        int count = 0, tokens = 0;
        while (first + count < batch.Sequences && (count == 0 || tokens + batch.Spans[first + count].Length <= ChunkTokens))
        {
            tokens += batch.Spans[first + count].Length;
            count++;
        }

        return count;
    }

    static (int Row, int Tokens) Rows(TokenBatch batch, int first, int count)
    {
        if (count == 0)
        {
            return (0, 0);
        }

        SequenceSpan last = batch.Spans[first + count - 1];
        int row = batch.Spans[first].QueryRow;
        return (row, last.QueryRow + last.Length - row);
    }

    void CheckLayer(int layer)
    {
        if (layer < 0 || layer >= Config.Layers)
        {
            throw DiffractException.Argument($"layer {layer} is out of range: the model has blocks 0 to {Config.Layers - 1}");
        }
    }

    void CheckPositions(int length)
    {
        if (_weights.Positions is { } learned_PD && length > learned_PD.Rows)
        {
            throw new DiffractException($"a sequence of {length} tokens is longer than the {learned_PD.Rows} positions that the model has learned; use shorter texts");
        }

        if (length > _longest)
        {
            throw new DiffractException($"a sequence of {length} tokens is longer than {_longest}: from there on the model's rope_scaling gives all positions other frequencies, which are not computed; use shorter texts (--context)");
        }
    }

    void CheckIds(ReadOnlySpan<int> ids)
    {
        for (int t = 0; t < ids.Length; t++)
        {
            if ((uint)ids[t] >= (uint)Config.Vocabulary)
            {
                throw new DiffractException($"token id {ids[t]} (number {t} of the batch) is outside the model's vocabulary of {Config.Vocabulary}; use the model's own tokenizer");
            }
        }
    }
}
