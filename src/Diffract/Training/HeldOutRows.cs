using Diffract.Activations;
using Diffract.Compute.Buffers;
using Diffract.Tokens;

namespace Diffract.Training;

/// <summary>Rows of the held-out split in stored order, documents before chats, in equal shares while both last: what validation reads (spec 3.8).</summary>
public sealed class HeldOutRows : IBatchSource
{
    readonly ActivationStore _store;
    readonly long[] _rows;

    /// <param name="store">Activations.</param>
    /// <param name="tokens">The documents and their splits.</param>
    /// <param name="most">Most rows to take.</param>
    /// <param name="only">Documents or chats only; null for both.</param>
    public HeldOutRows(ActivationStore store, TokenStore tokens, long most, TextSource? only = null)
    {
        TokenDocument[] heldOut = [.. tokens.Documents.Where(d => d.Split == Split.HeldOut && (only is null || d.Source == only))];
        long documents = heldOut.Where(d => d.Source == TextSource.Document).Sum(d => (long)d.Rows);
        long chats = heldOut.Where(d => d.Source == TextSource.Chat).Sum(d => (long)d.Rows);
        long fromChats = Math.Min(chats, Math.Max(most / 2, most - documents));
        _store = store;
        _rows = [.. Rows(heldOut, TextSource.Document, Math.Min(documents, most - fromChats)), .. Rows(heldOut, TextSource.Chat, fromChats)];
    }

    public int[] ModelOffsets => _store.ModelOffsets;

    public long DistinctTokens => _rows.Length;

    public void Fill(long index, Matrix acts_BE) => _store.Gather(_rows.AsSpan(checked((int)(index * acts_BE.Rows)), acts_BE.Rows), acts_BE);

    static IEnumerable<long> Rows(TokenDocument[] documents, TextSource source, long most)
        => documents.Where(d => d.Source == source).SelectMany(d => Enumerable.Range(0, d.Rows).Select(t => d.FirstRow + t)).Take(checked((int)most));
}
