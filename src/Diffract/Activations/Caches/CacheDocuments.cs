using Diffract.Formats;
using Diffract.Runs;

namespace Diffract.Activations.Caches;

/// <summary>Where the documents of a cache begin.</summary>
static class CacheDocuments
{
    const int ReadTokens = 1 << 16;

    /// <summary>Starts of the documents and the end: by <c>sequence_ranges.pt</c>, else at each <paramref name="bos"/>. Documents without a token are left out.</summary>
    /// <param name="pair">The caches.</param>
    /// <param name="bos">The id that begins a document; null where nobody says.</param>
    /// <exception cref="DiffractException">Nothing says where documents begin.</exception>
    public static long[] Starts(CachePair pair, int? bos)
    {
        if (pair.Ranges() is { } ranges)
        {
            return [.. ranges.Distinct()];
        }

        using TorchVector tokens = pair.Chat.OpenTokens()!;
        long[] first = new long[1];
        tokens.Read(0, first);
        if (bos is null)
        {
            throw new DiffractException(
                $"{pair.Chat.Root} has no sequence_ranges.pt, and nothing says which token begins a document: name it with --bos (the first is {first[0]}, which comes {Count(tokens, first[0])} times), or give the chat model with --chat");
        }

        if (first[0] != bos)
        {
            throw new DiffractException(
                $"{tokens.FilePath} begins with token {first[0]}, wanted {bos}, which begins a document: where the first positions were not stored, documents are told by sequence_ranges.pt alone, and there is none");
        }

        List<long> starts = [];
        Scan(tokens, (row, id) =>
        {
            if (id == bos)
            {
                starts.Add(row);
            }
        });
        return [.. starts, pair.Rows];
    }

    static long Count(TorchVector tokens, long wanted)
    {
        long count = 0;
        Scan(tokens, (_, id) => count += id == wanted ? 1 : 0);
        return count;
    }

    static void Scan(TorchVector tokens, Action<long, long> take)
    {
        long[] ids = new long[ReadTokens];
        for (long at = 0; at < tokens.Length; at += ReadTokens)
        {
            Span<long> read = ids.AsSpan(0, (int)Math.Min(ReadTokens, tokens.Length - at));
            tokens.Read(at, read);
            for (int i = 0; i < read.Length; i++)
            {
                take(at + i, read[i]);
            }
        }
    }
}
