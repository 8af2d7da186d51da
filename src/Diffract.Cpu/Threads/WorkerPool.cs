using System.Runtime.ExceptionServices;
using System.Runtime.InteropServices;

namespace Diffract.Cpu.Threads;

/// <summary>
/// A fixed set of threads that share out numbered tasks: the caller works too. Tasks are claimed one by one, so which thread does which task
/// varies; results must not depend on it. Nothing is allocated per call. One caller at a time; a task that calls <see cref="Run"/> again runs
/// the inner tasks itself.
/// </summary>
public sealed unsafe class WorkerPool : IDisposable
{
    const int Open = 1 << 30;

    readonly object _bed = new();
    readonly object _callers = new();
    readonly Thread[] _workers;
    readonly int _spins;
    Lines _lines;
    delegate*<void*, int, int, void> _body;
    void* _state;
    int _tasks;
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
            Share(tasks, body, state);
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

    void Share(int tasks, delegate*<void*, int, int, void> body, void* state)
    {
        ObjectDisposedException.ThrowIf(_stop, this);
        _body = body;
        _state = state;
        _tasks = tasks;
        _failure = null;
        _lines.Next = 0;
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

        // No worker may join any more; those inside finish the task that they hold.
        Interlocked.Add(ref _lines.Gate, -Open);
        SpinWait wait = default;
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
            while ((task = Interlocked.Increment(ref _lines.Next) - 1) < _tasks)
            {
                _body(_state, task, worker);
            }
        }
        catch (Exception failure)
        {
            Interlocked.CompareExchange(ref _failure, ExceptionDispatchInfo.Capture(failure), null);
            Interlocked.Exchange(ref _lines.Next, int.MaxValue / 2);
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
    [StructLayout(LayoutKind.Explicit, Size = 512)]
    struct Lines
    {
        [FieldOffset(128)]
        public int Next;

        /// <summary>Open, plus the number of workers inside.</summary>
        [FieldOffset(256)]
        public int Gate;

        [FieldOffset(384)]
        public int Epoch;
    }
}
