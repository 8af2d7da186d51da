using Diffract.Text;

namespace Diffract.Tokens;

/// <summary>
/// Encodes rows in order, a few hundred at a time on all cores. Rows that hold no text or no turns, chats that cannot be rendered, and chats that end without an answer are passed over and listed.
/// </summary>
sealed class EncodedStream(IEnumerable<TextItem> items, TextSource source, PairEncoder encoder, int context, CancellationToken stop) : IDisposable
{
    const int Chunk = 512;
    readonly IEnumerator<TextItem> _items = items.GetEnumerator();
    readonly Queue<(TextItem Item, PairText Text)> _ready = [];
    bool _ended;

    public TextSource Source => source;

    /// <summary>Tokens taken so far.</summary>
    public long Tokens { get; private set; }

    public int Taken { get; private set; }

    /// <summary>Lines read so far that could have been taken, those passed over included.</summary>
    public int Seen { get; private set; }

    /// <summary>Rows passed over so far.</summary>
    public SkippedRows Skips { get; } = new();

    /// <summary>Lines read so far that have tokens, but none that is stored.</summary>
    public int WithoutRows { get; private set; }

    /// <summary>The next line without taking it, or null at the end.</summary>
    public (TextItem Item, PairText Text)? Peek()
    {
        while (_ready.Count == 0 && !_ended)
        {
            Fill();
        }

        return _ready.Count > 0 ? _ready.Peek() : null;
    }

    public void Take()
    {
        Tokens += _ready.Dequeue().Text.Text.Ids.Length;
        Taken++;
    }

    public void Dispose() => _items.Dispose();

    void Fill()
    {
        List<TextItem> items = [];
        while (items.Count < Chunk && !(_ended = !_items.MoveNext()))
        {
            items.Add(_items.Current);
        }

        (PairText? Text, string? Fault)[] made = new (PairText?, string?)[items.Count];
        try
        {
            Parallel.For(0, items.Count, new ParallelOptions { CancellationToken = stop, MaxDegreeOfParallelism = Environment.ProcessorCount }, i => made[i] = Encode(items[i]));
        }
        catch (AggregateException e) when (e.InnerExceptions.OfType<Runs.DiffractException>().FirstOrDefault() is { } inner)
        {
            throw inner;
        }

        for (int i = 0; i < made.Length; i++)
        {
            Seen++;
            if (made[i].Text is not { } text)
            {
                Skips.Add(source, items[i], made[i].Fault!);
            }
            else if (text.Rows > 0)
            {
                _ready.Enqueue((items[i], text));
            }
            else if (text.Text.Ids.Length > 0)
            {
                WithoutRows++;
            }
        }
    }

    (PairText? Text, string? Fault) Encode(TextItem item)
    {
        if (item.Fault is { } why)
        {
            return (null, why);
        }

        if (item.Turns is [.., { Role: not "assistant" }])
        {
            return (null, $"ends with the {item.Turns[^1].Role}'s turn, wanted an answer");
        }

        PairText? text = encoder.Encode(item, context, out string? fault);
        return (text, fault);
    }
}
