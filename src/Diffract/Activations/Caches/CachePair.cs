using Diffract.Formats;
using Diffract.Runs;
using Diffract.Tokens;

namespace Diffract.Activations.Caches;

/// <summary>The caches of both models at one layer, found to belong together: as many rows, of the same tokens, of the same layer.</summary>
sealed class CachePair
{
    const int ReadTokens = 1 << 16;
    const int HighestId = 1 << 24;

    // What collectors gave the base models of Llama 3.x to read, and stored, in place of the chat template's tokens (spec 1.3).
    static readonly ReplacementMap LlamaIds = new([KeyValuePair.Create(128006, 1432), KeyValuePair.Create(128007, 827), KeyValuePair.Create(128009, 827)]);

    CachePair(CacheFolder baseModel, CacheFolder chatModel)
    {
        Models = [baseModel, chatModel];
        foreach (CacheFolder model in Models)
        {
            if (model.Shuffled)
            {
                throw new DiffractException($"{model.Root} was collected with shuffle_shards: row i of one model is of another token than row i of the other, and the order is not kept; collect it again without");
            }
        }

        Differ("rows", baseModel.Rows, chatModel.Rows);
        if (baseModel.Layer is { } a && chatModel.Layer is { } b)
        {
            Differ("the output of layer", a, b);
        }

        if ((baseModel.TokensPath is null) != (chatModel.TokensPath is null))
        {
            CacheFolder with = baseModel.TokensPath is null ? chatModel : baseModel, without = baseModel.TokensPath is null ? baseModel : chatModel;
            throw new DiffractException($"{with.Root} has its tokens and {without.Root} has none: whether they are of the same tokens cannot be told; copy its tokens.pt");
        }

        Replace = CompareTokens();
        CompareRanges();
    }

    /// <summary>Base, then chat.</summary>
    public CacheFolder[] Models { get; }

    public CacheFolder Base => Models[0];

    public CacheFolder Chat => Models[1];

    public long Rows => Chat.Rows;

    /// <summary>What the base model read, and its tokens.pt holds, in place of the chat model's ids.</summary>
    public ReplacementMap Replace { get; }

    /// <summary>The n of <c>layer_n_out</c> where a folder is called so.</summary>
    public int? Layer => Chat.Layer ?? Base.Layer;

    public int[] Widths => [.. Models.Select(m => m.Width)];

    /// <exception cref="DiffractException">One is no sound cache, or they are not of the same tokens; the message says which fact differs.</exception>
    public static CachePair Open(string baseFolder, string chatFolder)
        => Path.GetFullPath(baseFolder) != Path.GetFullPath(chatFolder)
            ? new CachePair(CacheFolder.Open(baseFolder), CacheFolder.Open(chatFolder))
            : throw DiffractException.Argument($"--cache is given {baseFolder} twice; wanted the base model's cache and the chat model's");

    /// <summary>Document starts, and the end, as stored; null where neither model has them.</summary>
    public long[]? Ranges() => Chat.RangesPath is { } path ? ReadRanges(path, Rows) : Base.RangesPath is { } other ? ReadRanges(other, Rows) : null;

    static long[] ReadRanges(string path, long rows)
    {
        using TorchVector vector = TorchVector.Open(path);
        if (!vector.IsInteger || vector.Length < 2 || vector.Length > Math.Min(rows + 1, Array.MaxLength))
        {
            throw new DiffractException($"{path} holds {vector.Length} values of {vector.Type}, wanted the starts of the documents and the end, 2 to {rows + 1} integers");
        }

        long[] starts = new long[vector.Length];
        vector.Read(0, starts);
        for (int i = 1; i < starts.Length; i++)
        {
            if (starts[i] < starts[i - 1])
            {
                throw new DiffractException($"{path} goes back from {starts[i - 1]} to {starts[i]} at {i}; wanted ascending starts of documents");
            }
        }

        return starts[0] == 0 && starts[^1] == rows ? starts : throw new DiffractException($"{path} goes from {starts[0]} to {starts[^1]}, wanted from 0 to the {rows} rows: not of this cache, or still being written");
    }

    void Differ(string what, long a, long b)
    {
        if (a != b)
        {
            throw new DiffractException($"the caches do not belong together: {Base.Root} holds {what} {a}, {Chat.Root} {what} {b}; wanted both models over the same tokens at the same layer".Replace("rows ", "rows: ", StringComparison.Ordinal));
        }
    }

    ReplacementMap CompareTokens()
    {
        using TorchVector? ofBase = Base.OpenTokens(), ofChat = Chat.OpenTokens();
        if (ofBase is null || ofChat is null)
        {
            return ReplacementMap.None;
        }

        long[] a = new long[ReadTokens], b = new long[ReadTokens];
        bool replaced = false;
        for (long at = 0; at < Rows; at += ReadTokens)
        {
            int count = (int)Math.Min(ReadTokens, Rows - at);
            ofBase.Read(at, a.AsSpan(0, count));
            ofChat.Read(at, b.AsSpan(0, count));
            for (int i = 0; i < count; i++)
            {
                if (b[i] is < 0 or >= HighestId)
                {
                    throw new DiffractException($"{ofChat.FilePath} holds {b[i]} at row {at + i}, wanted token ids from 0 to {HighestId - 1}");
                }

                if (a[i] != b[i])
                {
                    replaced = LlamaIds.Ids.TryGetValue((int)b[i], out int other) && a[i] == other
                        ? true
                        : throw new DiffractException($"the caches do not belong together: at row {at + i} the base model read token {a[i]} ({ofBase.FilePath}), the chat model {b[i]} ({ofChat.FilePath}); wanted both models over the same tokens");
                }
            }
        }

        return replaced ? LlamaIds : ReplacementMap.None;
    }

    void CompareRanges()
    {
        if (Base.RangesPath is { } a && Chat.RangesPath is { } b && !ReadRanges(a, Rows).SequenceEqual(ReadRanges(b, Rows)))
        {
            throw new DiffractException($"the caches do not belong together: {a} and {b} part the tokens into other documents");
        }
    }
}
