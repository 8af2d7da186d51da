using System.Diagnostics;
using System.Globalization;
using Diffract.Compute.Buffers;
using Diffract.Compute.Kernels;
using Diffract.Llms;
using Diffract.Runs;
using Diffract.Tokens;

namespace Diffract.Activations;

/// <summary>
/// Activations that a training reads while they are made, without a store on disk: both models run over the documents of a window of the training order, up to the last layer that is wanted, and what comes out is
/// rounded as a store rounds it. Two windows take turns: one is trained on while a second thread fills the next. A window is a function of the tokens alone, so a training that goes on at any step has it made again,
/// and gets the bits of one that read a store. Where a pass has no more windows than are held, later passes forward nothing.
/// </summary>
public sealed class LiveActivations : IDisposable
{
    const int ReportMilliseconds = 200;

    readonly IBackend _backend;
    readonly TokenStore _tokens;
    readonly (string Name, string Folder)[] _models;
    readonly LayerPair[] _layers;
    readonly int[] _modelOffsets;
    readonly StorageKind _storage;
    readonly int _batchTokens;
    readonly IProgressSink _progress;
    readonly CancellationToken _stop;
    StreamNeeds? _needs;
    Harvester? _harvester;
    Slot[] _slots = [];
    Slot? _current, _filled;
    Task _filling = Task.CompletedTask;
    CancellationTokenSource? _jump;
    long _forwarded, _done;
    bool _announced;

    /// <param name="backend">Where the models run.</param>
    /// <param name="tokens">What they run on.</param>
    /// <param name="layers">0-based blocks, ascending.</param>
    /// <param name="order">The order of training.</param>
    /// <param name="storage">What activations are rounded to.</param>
    /// <param name="progress">Told the plan, and how far a window is that the training waits for.</param>
    /// <param name="stop">Set by Ctrl-C.</param>
    /// <param name="batchTokens">Tokens that pass through a model together; changes the speed, never the result.</param>
    public LiveActivations(
        IBackend backend, TokenStore tokens, IReadOnlyList<LayerPair> layers, ShuffledOrder order, StorageKind storage, IProgressSink progress, CancellationToken stop, int batchTokens = 4096)
    {
        (_backend, _tokens, _layers, Order, _storage, _progress, _stop) = (backend, tokens, [.. layers], order, storage, progress, stop);
        _models = [("base", tokens.BaseModel), ("chat", tokens.ChatModel)];
        _modelOffsets = new int[_models.Length + 1];
        for (int m = 0; m < _models.Length; m++)
        {
            _modelOffsets[m + 1] = _modelOffsets[m] + LlmConfig.Load(_models[m].Folder).Width;
        }

        _batchTokens = Math.Max(batchTokens, Harvester.Longest(tokens));
    }

    public ShuffledOrder Order { get; }

    /// <summary>Tokens that the trainings are going to take in all; nothing is forwarded for what comes after.</summary>
    public long End { get; set; } = long.MaxValue;

    /// <summary>Tokens that went through the models so far.</summary>
    public long Forwarded => Interlocked.Read(ref _forwarded);

    /// <summary>Hears how much of a window is there while the training waits for it: tokens done, tokens in all. Null: the progress does.</summary>
    public Action<long, long>? Waiting { get; set; }

    /// <summary>Training batches of one of the layers.</summary>
    public OrderedBatches Batches(LayerPair layer) => new StreamedBatches(this, Array.IndexOf(_layers, layer) is int l && l >= 0
        ? l
        : throw new ArgumentException($"layer {layer} is none of those that are streamed", nameof(layer)));

    /// <summary>Decides how to go about it beside trainings of so many bytes and says it, unless it is decided alike already.</summary>
    /// <exception cref="DiffractException">It does not fit.</exception>
    public void Plan(long trainingBytes, MemoryBudget memory)
    {
        StreamNeeds needs = StreamNeeds.Of(
            [.. _models.Select(m => m.Folder)], _layers, StreamNeeds.LargestWindow(Order), Order.WindowsOfPass, _batchTokens, Harvester.Longest(_tokens), _storage, trainingBytes, memory);
        if (_needs is { } before && (before.Windows, before.Models.Together) == (needs.Windows, needs.Models.Together))
        {
            return;
        }

        Close();
        _needs = needs;
        bool once = Order.WindowsOfPass <= needs.Windows;
        _progress.Line(string.Create(
            CultureInfo.InvariantCulture,
            $"stream: output of block{(_layers.Length > 1 ? "s" : "")} {string.Join(", ", _layers)} from one pass of the models, {Order.DistinctTokens:N0} training tokens in {Order.WindowsOfPass:N0} windows of {Order.Window:N0}, {needs.Windows} of them in memory at {MemoryBudget.Size(needs.WindowBytes)}, {_storage.Name()}; {(once ? "later passes take them from memory" : "every pass forwards them again")}"));
        _progress.Line($"stream: {needs.Models.Why} of memory with the training{(needs.Windows == 1 && !once ? ", which waits for each window" : "")}");
    }

    public void Dispose() => Close();

    void Close()
    {
        Abandon();
        _harvester?.Dispose();
        _harvester = null;
        Array.ForEach(_slots, s => s.Dispose());
        (_slots, _current, _filled) = ([], null, null);
    }

    /// <summary>The window's activations of a layer, [rows, E] of whole documents, and the tokens of the first of them that come before the window.</summary>
    /// <param name="at">The token of the endless sequence that is asked for.</param>
    /// <param name="window">Its window.</param>
    /// <param name="layer">Index of the layer.</param>
    (ShardRows Rows_BE, int Before) Window(long at, long window, int layer)
    {
        if (_current?.Window != window)
        {
            _current = Take(window);
            FillNext(at, window);
        }

        return (_current.Rows_BE[layer], _current.Before);
    }

    /// <summary>Waits for a window, which is there, being filled, or filled now.</summary>
    Slot Take(long window)
    {
        Open();
        if (_filled is { } coming && coming.Window == window)
        {
            Wait(coming);
            return coming;
        }

        if (_slots.FirstOrDefault(s => s.Window == window && s != _filled) is { } there)
        {
            return there;
        }

        Abandon();
        Slot slot = _slots.FirstOrDefault(s => s != _current) ?? _slots[0];
        long start = Stopwatch.GetTimestamp();
        Begin(slot, window);
        Wait(slot);
        Announce(slot, Stopwatch.GetElapsedTime(start).TotalSeconds);
        return slot;
    }

    /// <summary>Begins to fill the window that follows, where there is a place for it and it will be asked for.</summary>
    void FillNext(long at, long window)
    {
        long next = (window + 1) % Order.WindowsOfPass, end = at - (at % Order.DistinctTokens) + (window * Order.Window) + Order.TokensOf(window);
        if (_slots.Length > 1 && _filled is null && end < End && !_slots.Any(s => s.Window == next))
        {
            Begin(_slots.First(s => s != _current), next);
        }
    }

    void Begin(Slot slot, long window)
    {
        (int first, int last, int before) = Order.DocumentsOf(window);
        TokenDocument[] documents = [.. Order.Documents.Skip(first).Take(last - first)];
        (slot.Window, slot.Before, slot.Tokens) = (window, before, Order.RowsOf(window));
        _filled = slot;
        _jump = CancellationTokenSource.CreateLinkedTokenSource(_stop);
        CancellationToken stop = _jump.Token;
        Volatile.Write(ref _done, 0);
        _filling = Task.Run(
            () =>
            {
                _harvester!.Fill(documents, slot.Rows_BE, null, done => Volatile.Write(ref _done, done), stop);
                Interlocked.Add(ref _forwarded, documents.Sum(d => (long)d.Length));
            },
            CancellationToken.None);
    }

    void Wait(Slot slot)
    {
        try
        {
            while (Task.WaitAny([_filling], ReportMilliseconds) < 0)
            {
                long done = Volatile.Read(ref _done);
                if (Waiting is { } waiting)
                {
                    waiting(done, slot.Tokens);
                }
                else
                {
                    _progress.Report("stream", done, slot.Tokens, "tokens");
                }
            }

            _filling.GetAwaiter().GetResult();
        }
        catch
        {
            slot.Window = -1;
            throw;
        }
        finally
        {
            Forget();
        }
    }

    /// <summary>Ends a filling that nobody is going to ask for.</summary>
    void Abandon()
    {
        if (_filled is not { } slot)
        {
            return;
        }

        _jump!.Cancel();
        try
        {
            _filling.GetAwaiter().GetResult();
        }
        catch (Exception e) when (e is OperationCanceledException or DiffractException)
        {
            // What is wrong with a window is said to who asks for it.
            slot.Window = -1;
        }

        Forget();
    }

    void Forget()
    {
        _filled = null;
        _jump?.Dispose();
        _jump = null;
        _filling = Task.CompletedTask;
    }

    /// <summary>How fast windows are made, after the first.</summary>
    void Announce(Slot slot, double seconds)
    {
        if (_announced)
        {
            return;
        }

        _announced = true;
        long tokens = Order.WindowsOfPass <= _slots.Length ? Math.Min(Order.DistinctTokens, End) : End;
        _progress.Line(string.Create(
            CultureInfo.InvariantCulture,
            $"stream: the first window of {slot.Tokens:N0} tokens took {HarvestNeeds.Time(seconds)}, {slot.Tokens / seconds:N0} tokens/s; {tokens:N0} are forwarded for the whole training, about {HarvestNeeds.Time(tokens * seconds / slot.Tokens)} beside its own time"));
    }

    void Open()
    {
        if (_harvester is not null)
        {
            return;
        }

        StreamNeeds needs = _needs ?? throw new InvalidOperationException("a stream is read before it is planned");
        _harvester = new Harvester(_backend, _tokens, _models, _layers, _batchTokens, needs.Models.Together);
        int[] widths = [.. _modelOffsets.Skip(1).Zip(_modelOffsets, (end, begin) => end - begin)];
        int rows = checked((int)StreamNeeds.LargestWindow(Order));
        _slots = [.. Enumerable.Range(0, needs.Windows).Select(_ => new Slot([.. _layers.Select(_ => new ShardRows(_storage, widths, rows))]))];
    }

    /// <summary>A place for a window; -1 while it holds none.</summary>
    sealed class Slot(ShardRows[] rows_BE) : IDisposable
    {
        public ShardRows[] Rows_BE { get; } = rows_BE;

        public long Window { get; set; } = -1;

        public int Before { get; set; }

        public int Tokens { get; set; }

        public void Dispose() => Array.ForEach(Rows_BE, r => r.Dispose());
    }

    /// <summary>The batches of one layer.</summary>
    sealed class StreamedBatches(LiveActivations stream, int layer) : OrderedBatches(stream.Order, stream._modelOffsets)
    {
        protected override void Copy(long at, long window, ReadOnlySpan<int> places, Matrix acts_BE)
        {
            (ShardRows rows_BE, int before) = stream.Window(at, window, layer);
            for (int i = 0; i < places.Length; i++)
            {
                rows_BE.Read(before + places[i], acts_BE.Row(i));
            }
        }
    }
}
