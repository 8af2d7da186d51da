using Diffract.Cpu.Threads;

namespace Diffract.Kernels.Tests.Threads;

public sealed unsafe class WorkerPoolTests
{
    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(5)]
    public void Every_task_runs_once_on_a_worker_that_exists(int threads)
    {
        using WorkerPool pool = new(threads);
        const int Tasks = 1000;
        int* counts = stackalloc int[Tasks + 1];
        for (int round = 0; round < 50; round++)
        {
            new Span<int>(counts, Tasks + 1).Clear();
            counts[Tasks] = threads;
            pool.Run(Tasks, &Count, counts);
            for (int i = 0; i < Tasks; i++)
            {
                Assert.Equal(1, counts[i]);
            }
        }
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(5)]
    public void What_belongs_to_the_owners_is_done_by_them(int threads)
    {
        using WorkerPool pool = new(threads);
        int* workers = stackalloc int[threads];
        for (int round = 0; round < 50; round++)
        {
            new Span<int>(workers, threads).Fill(-1);
            pool.RunEach(&Sign, workers);
            Assert.Equal(Enumerable.Range(0, threads), new Span<int>(workers, threads).ToArray());
        }
    }

    /// <summary>Tasks that take long enough for every worker to wake up: each begins with the same ones in every call.</summary>
    [Fact]
    public void A_worker_begins_with_its_own_tasks()
    {
        using WorkerPool pool = new(2);
        const int Tasks = 8;
        int* workers = stackalloc int[Tasks];
        int rounds = 0, owned = 0;
        for (; rounds < 20; rounds++)
        {
            pool.Run(Tasks, &SignSlowly, workers);
            owned += workers[0] == 0 && workers[Tasks / 2] == 1 ? 1 : 0;
        }

        Assert.True(owned > 0, "the second worker never began with the second half");
    }

    [Theory]
    [InlineData(1)]
    [InlineData(3)]
    public void A_failure_of_a_task_reaches_the_caller_and_the_pool_goes_on(int threads)
    {
        using WorkerPool pool = new(threads);
        int done = 0;
        Assert.Throws<InvalidOperationException>(() => Fail(pool));
        pool.Run(10, &Add, &done);
        Assert.Equal(10, done);
    }

    [Fact]
    public void A_call_allocates_nothing()
    {
        using WorkerPool pool = new(2);
        int done = 0;
        pool.Run(10, &Add, &done);
        int* counter = &done;
        Assert.Equal(0, Allocations.Least(() =>
        {
            for (int i = 0; i < 1000; i++)
            {
                pool.Run(4, &Add, counter);
            }
        }));
        Assert.Equal(10, done % 4000);
    }

    static void Fail(WorkerPool pool) => pool.Run(100, &Throw, null);

    static void Throw(void* state, int task, int worker)
    {
        if (task == 17)
        {
            throw new InvalidOperationException("task 17");
        }
    }

    static void Sign(void* state, int task, int worker) => ((int*)state)[task] = worker;

    static void SignSlowly(void* state, int task, int worker)
    {
        Sign(state, task, worker);
        Thread.Sleep(2);
    }

    static void Add(void* state, int task, int worker) => Interlocked.Increment(ref *(int*)state);

    static void Count(void* state, int task, int worker)
    {
        int* counts = (int*)state;
        Interlocked.Increment(ref counts[task]);
        if (worker < 0 || worker >= counts[1000])
        {
            Interlocked.Add(ref counts[task], 1000);
        }
    }
}
