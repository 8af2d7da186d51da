using System.Runtime.Intrinsics;
using Diffract.Compute.Buffers;
using Diffract.Cpu.Matmul;
using Diffract.Cpu.Threads;

namespace Diffract.Cpu.Transformer;

/// <summary>out_t = table[ids_t]·scale, and the plain movements of rows: out_r = x[rows_r], y = x, y += x, y += bias, y = y ∘ x.</summary>
static unsafe class Embedding
{
    public static void Embed(WorkerPool pool, ReadOnlySpan<int> ids, Matrix table_VD, float scale, Matrix out_TD)
    {
        fixed (int* row = ids)
        {
            Job job = new()
            {
                Rows = new RowTasks { Y = out_TD.Floats, YStride = out_TD.Stride, Rows = out_TD.Rows, Columns = out_TD.Columns },
                Which = row,
                Table = (byte*)((HostBuffer)table_VD.Buffer).Pointer + table_VD.Offset * table_VD.Type.Size(),
                TableStride = table_VD.Stride,
                Widen = table_VD.Type == ElementType.BFloat16,
                Scale = scale,
            };
            RowTasks.Run(pool, &EmbedTask, (RowTasks*)&job);
        }
    }

    public static void Gather(WorkerPool pool, Matrix x_TD, ReadOnlySpan<int> rows, Matrix out_RD)
    {
        fixed (int* row = rows)
        {
            Job job = new() { Rows = new RowTasks(x_TD, out_RD), Which = row };
            RowTasks.Run(pool, &GatherTask, (RowTasks*)&job);
        }
    }

    public static void Copy(WorkerPool pool, Matrix x_TD, Matrix y_TD)
    {
        RowTasks rows = new(x_TD, y_TD);
        RowTasks.Run(pool, &CopyTask, &rows);
    }

    public static void Add(WorkerPool pool, Matrix x_TD, Matrix y_TD)
    {
        RowTasks rows = new(x_TD, y_TD);
        RowTasks.Run(pool, &AddTask, &rows);
    }

    public static void AddBias(WorkerPool pool, Matrix bias_N, Matrix y_TN)
    {
        // A stride of 0: every row gets the same one.
        RowTasks rows = new(bias_N, y_TN) { XStride = 0 };
        RowTasks.Run(pool, &AddTask, &rows);
    }

    public static void Multiply(WorkerPool pool, Matrix x_TD, Matrix y_TD)
    {
        RowTasks rows = new(x_TD, y_TD);
        RowTasks.Run(pool, &MultiplyTask, &rows);
    }

    static void EmbedTask(void* state, int task, int worker)
    {
        Job* job = (Job*)state;
        (int first, int end) = job->Rows.Share(task);
        int n = job->Rows.Columns;
        for (int t = first; t < end; t++)
        {
            float* y = job->Rows.Y + t * job->Rows.YStride;
            long at = job->Which[t] * job->TableStride;
            if (job->Widen)
            {
                MatmulPanels.Widen((ushort*)job->Table + at, n, y);
            }
            else
            {
                new ReadOnlySpan<float>((float*)job->Table + at, n).CopyTo(new Span<float>(y, n));
            }

            Vector256<float> scale = Vector256.Create(job->Scale);
            int d = 0;
            for (; d <= n - 8; d += 8)
            {
                (Vector256.Load(y + d) * scale).Store(y + d);
            }

            for (; d < n; d++)
            {
                y[d] *= job->Scale;
            }
        }
    }

    static void GatherTask(void* state, int task, int worker)
    {
        Job* job = (Job*)state;
        (int first, int end) = job->Rows.Share(task);
        for (int r = first; r < end; r++)
        {
            CopyRow(job->Rows.X + job->Which[r] * job->Rows.XStride, job->Rows.Y + r * job->Rows.YStride, job->Rows.Columns);
        }
    }

    static void CopyTask(void* state, int task, int worker)
    {
        RowTasks* rows = (RowTasks*)state;
        (int first, int end) = rows->Share(task);
        for (int r = first; r < end; r++)
        {
            CopyRow(rows->X + r * rows->XStride, rows->Y + r * rows->YStride, rows->Columns);
        }
    }

    static void AddTask(void* state, int task, int worker)
    {
        RowTasks* rows = (RowTasks*)state;
        (int first, int end) = rows->Share(task);
        for (int r = first; r < end; r++)
        {
            float* x = rows->X + r * rows->XStride;
            float* y = rows->Y + r * rows->YStride;
            int d = 0;
            for (; d <= rows->Columns - 8; d += 8)
            {
                (Vector256.Load(y + d) + Vector256.Load(x + d)).Store(y + d);
            }

            for (; d < rows->Columns; d++)
            {
                y[d] += x[d];
            }
        }
    }

    static void MultiplyTask(void* state, int task, int worker)
    {
        RowTasks* rows = (RowTasks*)state;
        (int first, int end) = rows->Share(task);
        for (int r = first; r < end; r++)
        {
            float* x = rows->X + r * rows->XStride;
            float* y = rows->Y + r * rows->YStride;
            int d = 0;
            for (; d <= rows->Columns - 8; d += 8)
            {
                (Vector256.Load(y + d) * Vector256.Load(x + d)).Store(y + d);
            }

            for (; d < rows->Columns; d++)
            {
                y[d] *= x[d];
            }
        }
    }

    static void CopyRow(float* source, float* target, int count) => new ReadOnlySpan<float>(source, count).CopyTo(new Span<float>(target, count));

    struct Job
    {
        public RowTasks Rows;
        public int* Which;
        public void* Table;
        public long TableStride;
        public bool Widen;
        public float Scale;
    }
}
