using Diffract.Activations;
using Diffract.Compute.Buffers;
using Diffract.Compute.Kernels;
using Diffract.Crosscoders;
using Diffract.Llms;
using Diffract.Runs;

namespace Diffract.Evidence;

/// <summary>
/// Runs both models to the hooked block, edits the activation at every position (but a chat's first ones, where the run does not store them either), lets the chat model go on from it, and compares its predictions with the unedited chat model's.
/// Logits are made only at the positions asked for, some rows of all edits at a time: two matrices hold them, however long a chat is. Results do not depend on which chats share a batch, on how
/// many rows are made at a time, nor on whether both models are in memory at once.
/// </summary>
public sealed class InterventionRunner : IDisposable
{
    readonly IBackend _backend;
    readonly Llm _base, _chat;
    readonly LayerPair _layer;
    readonly int _maxTokens, _width, _shared;
    readonly IReadOnlyList<Edit> _edits;
    readonly bool _everyPosition;
    readonly ActivationEdits _activations;
    readonly TokenBatch _batch, _baseBatch;
    readonly Matrix _pair_TE, _edited_TD;
    readonly bool[] _template;
    readonly Matrix _chatLogits_RV, _logits_RV, _baseLogits_RV;
    Matrix _last_ND;

    /// <param name="backend">Where everything runs.</param>
    /// <param name="baseModel">Model 0.</param>
    /// <param name="chatModel">Model 1, which goes on.</param>
    /// <param name="crosscoder">Trained on both after block <paramref name="layer"/>.</param>
    /// <param name="layer">0-based block.</param>
    /// <param name="edits">What to feed in, in the order of the results.</param>
    /// <param name="sets">Latent sets that the edits name by index.</param>
    /// <param name="maxTokens">Most tokens of a batch, at most what the models were loaded for.</param>
    /// <param name="everyPosition">Look at every position, not only at those before an answer's tokens.</param>
    /// <param name="logitRows">Positions whose logits are made at a time; changes the speed and the memory, never the result.</param>
    public InterventionRunner(
        IBackend backend, Llm baseModel, Llm chatModel, Crosscoder crosscoder, LayerPair layer, IReadOnlyList<Edit> edits, IReadOnlyList<int[]> sets, int maxTokens, bool everyPosition, int logitRows = 256)
    {
        Check(baseModel.Config, chatModel.Config, crosscoder, layer);
        (_backend, _base, _chat, _layer, _edits, _maxTokens, _everyPosition) = (backend, baseModel, chatModel, layer, edits, maxTokens, everyPosition);
        (_width, _shared) = (chatModel.Config.Width, Math.Min(baseModel.Config.Vocabulary, chatModel.Config.Vocabulary));
        _activations = new ActivationEdits(crosscoder, sets, maxTokens);
        _batch = new TokenBatch(maxTokens, maxTokens);
        _baseBatch = new TokenBatch(maxTokens, maxTokens);
        _pair_TE = backend.Matrix(maxTokens, 2 * _width);
        _edited_TD = backend.Matrix(maxTokens, _width);
        _template = new bool[maxTokens];
        _chatLogits_RV = backend.Matrix(logitRows, chatModel.Config.Vocabulary);
        _logits_RV = backend.Matrix(logitRows, chatModel.Config.Vocabulary);
        _baseLogits_RV = edits.Any(e => e.Form == EditForm.BaseModel) ? backend.Matrix(logitRows, baseModel.Config.Vocabulary) : default;
    }

    /// <summary>False: give each model's weights back before the other runs.</summary>
    public bool Together { get; init; } = true;

    /// <summary>Refuses a pair, a layer or a crosscoder that do not fit each other.</summary>
    public static void Check(LlmConfig baseModel, LlmConfig chatModel, Crosscoder crosscoder, LayerPair layer)
    {
        if (baseModel.Width != chatModel.Width)
        {
            throw new DiffractException(
                $"the base model has width {baseModel.Width}, the chat model {chatModel.Width}; interventions want both equal");
        }

        HookedBlocks.Check(layer, baseModel, chatModel);
        if (crosscoder.Models != 2 || crosscoder.ModelOffsets[1] != baseModel.Width || crosscoder.E != 2 * baseModel.Width)
        {
            throw new DiffractException(
                $"the crosscoder reads {crosscoder.Models} models, {crosscoder.E} wide in all; wanted 2 models of width {baseModel.Width}; choose the crosscoder that was trained on this pair");
        }
    }

    /// <summary>Set to see the edited activations of each batch: edit and matrix [T, D], rows in the batch's order.</summary>
    public Action<Edit, Matrix>? Observer { get; set; }

    /// <summary>Runs the chats batch by batch and yields what the edits did, chat by chat, in order.</summary>
    public IEnumerable<ChatEffects> Run(IReadOnlyList<EditChat> chats, CancellationToken stop = default)
    {
        for (int first = 0, count; first < chats.Count; first += count)
        {
            stop.ThrowIfCancellationRequested();
            count = Take(chats, first);
            foreach (ChatEffects effects in RunBatch([.. chats.Skip(first).Take(count)], stop))
            {
                yield return effects;
            }
        }
    }

    public void Dispose()
    {
        _activations.Dispose();
        foreach (Matrix matrix in (ReadOnlySpan<Matrix>)[_pair_TE, _edited_TD, _chatLogits_RV, _logits_RV, _baseLogits_RV, _last_ND])
        {
            matrix.Buffer?.Dispose();
        }
    }

    int Take(IReadOnlyList<EditChat> chats, int first)
    {
        long tokens = 0;
        int count = 0;
        for (; first + count < chats.Count; count++)
        {
            EditChat chat = chats[first + count];
            if (chat.Ids.Length > _maxTokens)
            {
                throw new DiffractException($"chat {chat.Key} has {chat.Ids.Length} tokens, the batch takes {_maxTokens}; cut it with --context {_maxTokens}");
            }

            tokens += chat.Ids.Length;
            if (count > 0 && tokens > _maxTokens)
            {
                break;
            }
        }

        return count;
    }

    int[] Positions(EditChat chat)
        => _everyPosition ? [.. Enumerable.Range(0, chat.Ids.Length)] : [.. Enumerable.Range(0, chat.Ids.Length).Where(t => chat.Masks.All[t])];

    List<ChatEffects> RunBatch(EditChat[] chats, CancellationToken stop)
    {
        List<int> rows = [], targets = [];
        List<ChatEffects> effects = [];
        _batch.Clear();
        _baseBatch.Clear();
        foreach (EditChat chat in chats)
        {
            int[] positions = Positions(chat);
            chat.Masks.Template.CopyTo(_template.AsSpan(_batch.Tokens));
            rows.AddRange(positions.Select(t => _batch.Tokens + t));
            targets.AddRange(positions.Select(t => t + 1 < chat.Ids.Length && chat.Ids[t + 1] < _shared ? chat.Ids[t + 1] : -1));
            effects.Add(new ChatEffects(chat, positions, new double[_edits.Count][], new double[_edits.Count][]));
            _batch.Add(chat.Ids);
            _baseBatch.Add(chat.BaseIds);
        }

        int[] rowArray = [.. rows], targetArray = [.. targets];
        RunBlocks(rowArray, effects, stop);
        double[][] kl = [.. _edits.Select(_ => new double[rowArray.Length])], nll = [.. _edits.Select(_ => new double[rowArray.Length])];
        Compare(targetArray, kl, nll, stop);
        for (int e = 0; e < _edits.Count; e++)
        {
            int at = 0;
            foreach (ChatEffects chat in effects)
            {
                chat.Kl[e] = kl[e][at..(at + chat.Positions.Length)];
                chat.Nll[e] = nll[e][at..(at + chat.Positions.Length)];
                at += chat.Positions.Length;
            }
        }

        return effects;
    }

    /// <summary>The last block's output at the rows, of the chat model and then of each edit, end to end in one matrix.</summary>
    void RunBlocks(int[] rows, List<ChatEffects> chats, CancellationToken stop)
    {
        int tokens = _batch.Tokens;
        Matrix pair_TE = _pair_TE.SliceRows(0, tokens), edited_TD = _edited_TD.SliceRows(0, tokens);
        Matrix base_TD = pair_TE.SliceColumns(0, _width), chat_TD = pair_TE.SliceColumns(_width, _width);
        if (_last_ND.Buffer is null || _last_ND.Rows < rows.Length * (_edits.Count + 1))
        {
            _last_ND.Buffer?.Dispose();
            _last_ND = _backend.Matrix(Math.Max(1, rows.Length * (_edits.Count + 1)), _width);
        }

        _base.RunTo(_baseBatch, _layer.Base, base_TD);
        for (int e = 0; e < _edits.Count; e++)
        {
            if (_edits[e].Form == EditForm.BaseModel)
            {
                _base.RunToEnd(_baseBatch, _layer.Base, base_TD, rows, Last(e, 0, rows.Length, rows.Length));
            }
        }

        Release(_base);
        _chat.RunTo(_batch, _layer.Chat, chat_TD);
        _activations.Encode(pair_TE);
        _chat.RunToEnd(_batch, _layer.Chat, chat_TD, rows, Last(-1, 0, rows.Length, rows.Length));
        for (int e = 0; e < _edits.Count; e++)
        {
            stop.ThrowIfCancellationRequested();
            if (_edits[e].Form != EditForm.BaseModel)
            {
                _activations.Apply(_edits[e], _template.AsSpan(0, tokens), edited_TD);
                Restore(chats, chat_TD, edited_TD);
                Observer?.Invoke(_edits[e], edited_TD);
                _chat.RunToEnd(_batch, _layer.Chat, edited_TD, rows, Last(e, 0, rows.Length, rows.Length));
            }
        }

        Release(_chat);
    }

    /// <summary>Puts the chat model's own activations back where no edit may reach (spec 7.2); they are copied, never shared.</summary>
    static void Restore(List<ChatEffects> chats, Matrix chat_TD, Matrix edited_TD)
    {
        int start = 0;
        foreach (ChatEffects effects in chats)
        {
            for (int t = 0; t < Math.Min(effects.Chat.SkipFirst, effects.Chat.Ids.Length); t++)
            {
                chat_TD.Row(start + t).CopyTo(edited_TD.Row(start + t));
            }

            start += effects.Chat.Ids.Length;
        }
    }

    /// <summary>Heads of all edits against the chat model's, some rows at a time, over the ids that both models have: the rest of either is left out of its distribution.</summary>
    void Compare(int[] targets, double[][] kl, double[][] nll, CancellationToken stop)
    {
        int most = _logits_RV.Rows;
        double[] logSumExp = new double[most];
        int[] argmax = new int[most];
        for (int first = 0; first < targets.Length; first += most)
        {
            int count = Math.Min(most, targets.Length - first);
            Matrix chatLogits_RV = _chatLogits_RV.SliceRows(0, count), chatShared_RV = chatLogits_RV.SliceColumns(0, _shared);
            _chat.Head(Last(-1, first, count, targets.Length), chatLogits_RV);
            for (int e = 0; e < _edits.Count; e++)
            {
                stop.ThrowIfCancellationRequested();
                bool own = _edits[e].Form == EditForm.BaseModel;
                Matrix logits_RV = (own ? _baseLogits_RV : _logits_RV).SliceRows(0, count), shared_RV = logits_RV.SliceColumns(0, _shared);
                (own ? _base : _chat).Head(Last(e, first, count, targets.Length), logits_RV);
                _backend.Transformer.KlDivergence(chatShared_RV, shared_RV, kl[e].AsSpan(first, count));
                _backend.Transformer.LogitStatistics(shared_RV, targets.AsSpan(first, count), logSumExp.AsSpan(0, count), argmax.AsSpan(0, count), nll[e].AsSpan(first, count));
            }
        }

        Release(_base);
        Release(_chat);
    }

    /// <summary>Rows of an edit; -1: of the chat model itself.</summary>
    Matrix Last(int edit, int first, int count, int rows) => _last_ND.SliceRows((edit + 1) * rows + first, count);

    void Release(Llm model)
    {
        if (!Together)
        {
            model.Release();
        }
    }
}
