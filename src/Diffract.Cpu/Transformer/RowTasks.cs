using Diffract.Compute.Buffers;
using Diffract.Cpu.Threads;

namespace Diffract.Cpu.Transformer;

/// <summary>Rows of one or two matrices, some at a time: the shape of every operation that treats rows one by one.</summary>
unsafe struct RowTasks
{
    const int RowsPerTask = 32;

    public float* X;
    public long XStride;
    public float* Y;
    public long YStride;
    public int Rows;
    public int Columns;

    public RowTasks(Matrix x, Matrix y)
    {
        X = x.Floats;
        XStride = x.Stride;
        Y = y.Floats;
        YStride = y.Stride;
        Rows = y.Rows;
        Columns = y.Columns;
    }

    /// <summary>Shares out the rows. The job that <paramref name="state"/> points to begins with a <see cref="RowTasks"/>.</summary>
    public static void Run(WorkerPool pool, delegate*<void*, int, int, void> body, RowTasks* state)
        => pool.Run((state->Rows + RowsPerTask - 1) / RowsPerTask, body, state);

    /// <summary>The rows of a task: first, and one beyond the last.</summary>
    public readonly (int First, int End) Share(int task) => (task * RowsPerTask, Math.Min(Rows, (task + 1) * RowsPerTask));
}
