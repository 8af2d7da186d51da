using System.Runtime.ExceptionServices;
using System.Runtime.InteropServices;

namespace Diffract.Cpu.Threads;

/// <summary>
/// A fixed set of threads that share out numbered tasks: the caller works too. Worker w of n owns the w-th of n equal stretches of the tasks, the same ones in every call of as many tasks, and begins
/// with them; when they are done it takes tasks from the far ends of the others' stretches. Which thread does a task therefore varies a little; results must not depend on it.
/// Nothing is allocated per call. One caller at a time; a task that calls <see cref="Run"/> again runs the inner tasks itself.
/// </summary>
public sealed unsafe class WorkerPool : IDisposable
{
    const int Open = 1 << 30;

    /// <summary>Longs of two cache lines: processors fetch lines in pairs.</summary>
    const int Padding = 16;

    readonly object _bed = new();
    readonly object _callers = new();
    readonly Thread[] _workers;

    /// <summary>What is left of each worker's stretch: first task in the lower half, the one behind the last in the upper half.</summary>
    readonly long[] _left;
    readonly int _spins;
    Lines _lines;
    delegate*<void*, int, int, void> _body;
    void* _state;
    bool _help;
    int _sleepers;
    ExceptionDispatchInfo? _failure;
    volatile bool _stop;

    [ThreadStatic]
    static bool _insideTask;

    [ThreadStatic]
    static int _workerNumber;

    /// <param name="threads">
    /// Threads that work, the caller included. <see cref="Available"/> is what this process may use; more is allowed and only slower.
    /// </param>
    public WorkerPool(int threads)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(threads, 1);
        Threads = threads;
        _left = new long[(threads + 1) * Padding];
        // Spinning on a processor that somebody else needs costs more than waking up.
        _spins = threads <= Available ? 1500 : 20;
        _workers = new Thread[threads - 1];
        for (int i = 0; i < _workers.Length; i++)
        {
            int worker = i + 1;
            _workers[i] = new Thread(() => Work(worker)) { IsBackground = true, Name = $"diffract {worker}" };
            _workers[i].Start();
        }
    }

    /// <summary>Processors inside this process's affinity mask and the container's quota: the runtime counts both.</summary>
    public static int Available => Environment.ProcessorCount;

    /// <summary>The threads to start where so many are asked for: never more than <see cref="Available"/>, which could only wait for each other.</summary>
    public static int Fit(int? asked) => Math.Min(asked ?? Available, Available);

    /// <summary>Threads that work, the caller included. Task bodies get a worker number below it.</summary>
    public int Threads { get; }

    /// <summary>
    /// Calls <paramref name="body"/>(state, task, worker) for every task below <paramref name="tasks"/> and returns when all are done.
    /// The first exception of a body is thrown here; tasks not yet begun are then dropped.
    /// </summary>
    public void Run(int tasks, delegate*<void*, int, int, void> body, void* state)
    {
        if (tasks <= 1 || Threads == 1 || _insideTask)
        {
            for (int task = 0; task < tasks; task++)
            {
                body(state, task, _workerNumber);
            }

            return;
        }

        lock (_callers)
        {
            Share(tasks, body, state, help: true);
        }
    }

    /// <summary>One task for each worker, which does its own and no other: for what has to be done by the owner, as the first touch of memory.</summary>
    public void RunEach(delegate*<void*, int, int, void> body, void* state)
    {
        if (Threads == 1 || _insideTask)
        {
            Run(Threads, body, state);
            return;
        }

        lock (_callers)
        {
            Share(Threads, body, state, help: false);
        }
    }

    public void Dispose()
    {
        _stop = true;
        Interlocked.Increment(ref _lines.Epoch);
        lock (_bed)
        {
            Monitor.PulseAll(_bed);
        }

        foreach (Thread worker in _workers)
        {
            worker.Join();
        }
    }

    void Share(int tasks, delegate*<void*, int, int, void> body, void* state, bool help)
    {
        ObjectDisposedException.ThrowIf(_stop, this);
        _body = body;
        _state = state;
        _help = help;
        _failure = null;
        for (int w = 0; w < Threads; w++)
        {
            Left(w) = (uint)((long)tasks * w / Threads) | (long)tasks * (w + 1) / Threads << 32;
        }

        Interlocked.Exchange(ref _lines.Gate, Open);
        Interlocked.Increment(ref _lines.Epoch);
        if (Volatile.Read(ref _sleepers) > 0)
        {
            lock (_bed)
            {
                Monitor.PulseAll(_bed);
            }
        }

        _insideTask = true;
        Drain(0);
        _insideTask = false;

        SpinWait wait = default;
        for (int w = 1; w < Threads && !help; w++)
        {
            while ((int)Volatile.Read(ref Left(w)) == w)
            {
                wait.SpinOnce(sleep1Threshold: -1);
            }
        }

        // No worker may join any more; those inside finish the task that they hold.
        Interlocked.Add(ref _lines.Gate, -Open);
        while (Volatile.Read(ref _lines.Gate) != 0)
        {
            wait.SpinOnce(sleep1Threshold: -1);
        }

        _failure?.Throw();
    }

    void Drain(int worker)
    {
        try
        {
            int task;
            while ((task = First(worker)) >= 0)
            {
                _body(_state, task, worker);
            }

            for (int other = 1; other < Threads && _help; other++)
            {
                int owner = (worker + other) % Threads;
                while ((task = Last(owner)) >= 0)
                {
                    _body(_state, task, worker);
                }
            }
        }
        catch (Exception failure)
        {
            Interlocked.CompareExchange(ref _failure, ExceptionDispatchInfo.Capture(failure), null);
            for (int w = 0; w < Threads; w++)
            {
                Interlocked.Exchange(ref Left(w), 0);
            }
        }
    }

    ref long Left(int worker) => ref _left[(worker + 1) * Padding];

    /// <summary>The next task of a worker's own stretch; -1 when there is none.</summary>
    int First(int worker)
    {
        ref long left = ref Left(worker);
        while (true)
        {
            long seen = Volatile.Read(ref left);
            int first = (int)seen, end = (int)(seen >> 32);
            if (first >= end)
            {
                return -1;
            }

            if (Interlocked.CompareExchange(ref left, seen + 1, seen) == seen)
            {
                return first;
            }
        }
    }

    /// <summary>The last task of somebody else's stretch; -1 when there is none.</summary>
    int Last(int owner)
    {
        ref long left = ref Left(owner);
        while (true)
        {
            long seen = Volatile.Read(ref left);
            int first = (int)seen, end = (int)(seen >> 32);
            if (first >= end)
            {
                return -1;
            }

            if (Interlocked.CompareExchange(ref left, seen - (1L << 32), seen) == seen)
            {
                return end - 1;
            }
        }
    }

    void Work(int worker)
    {
        _insideTask = true;
        _workerNumber = worker;
        int seen = 0;
        while (true)
        {
            seen = Await(seen);
            if (_stop)
            {
                return;
            }

            if (Join())
            {
                Drain(worker);
                Interlocked.Decrement(ref _lines.Gate);
            }
        }
    }

    int Await(int seen)
    {
        for (int i = 0; i < _spins; i++)
        {
            int epoch = Volatile.Read(ref _lines.Epoch);
            if (epoch != seen)
            {
                return epoch;
            }

            Thread.SpinWait(1);
        }

        lock (_bed)
        {
            Interlocked.Increment(ref _sleepers);
            int epoch;
            while ((epoch = Volatile.Read(ref _lines.Epoch)) == seen)
            {
                Monitor.Wait(_bed);
            }

            Interlocked.Decrement(ref _sleepers);
            return epoch;
        }
    }

    bool Join()
    {
        while (true)
        {
            int gate = Volatile.Read(ref _lines.Gate);
            if (gate < Open)
            {
                return false;
            }

            if (Interlocked.CompareExchange(ref _lines.Gate, gate + 1, gate) == gate)
            {
                return true;
            }
        }
    }

    /// <summary>The words that all threads write, each on a cache line of its own.</summary>
    [StructLayout(LayoutKind.Explicit, Size = 384)]
    struct Lines
    {
        /// <summary>Open, plus the number of workers inside.</summary>
        [FieldOffset(128)]
        public int Gate;

        [FieldOffset(256)]
        public int Epoch;
    }
}
