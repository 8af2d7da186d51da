using Diffract.Compute;
using Diffract.Compute.Buffers;
using Diffract.Cpu.Threads;

namespace Diffract.Cpu.Matmul;

/// <summary>
/// Dense products in float32. Each element is summed in the order of k by one chain of multiply-adds that starts at the bias (or 0), so a row gives the same bits
/// whatever batch it sits in, whatever the number of threads. An instance serves one product at a time; it allocates only when a product is larger than all before.
/// </summary>
public sealed unsafe class MatrixProduct : IDisposable
{
    /// <summary>Floats of a second operand that are packed at a time.</summary>
    const long PackedFloats = 16 << 20;

    /// <summary>Steps of k of a second operand that one task packs.</summary>
    const int PackSteps = 64;

    readonly CpuPath _path;
    readonly WorkerPool _pool;
    readonly HostBuffer _scratch;
    HostBuffer _packed = new(ElementType.Float32, 16);
    HostBuffer _sums = new(ElementType.Float32, 16);

    public MatrixProduct(CpuPath path, WorkerPool pool)
    {
        _path = path;
        _pool = pool;
        _scratch = new HostBuffer(ElementType.Float32, (long)pool.Threads * ProductTasks.ScratchFloats);
        PanelColumns = path switch
        {
            CpuPath.Avx512 => MatmulAvx512F32.Columns,
            CpuPath.Avx2 => MatmulAvx2F32.Columns,
            _ => MatmulVectorF32.Columns,
        };
    }

    internal int PanelColumns { get; }

    /// <summary>C = A·Bᵀ (+ bias on every row). B is float32 or bfloat16.</summary>
    /// <param name="a_MK">[M, K].</param>
    /// <param name="b_NK">[N, K].</param>
    /// <param name="c_MN">[M, N], written.</param>
    /// <param name="bias_N">[1, N] or null.</param>
    public void TimesTransposed(Matrix a_MK, Matrix b_NK, Matrix c_MN, Matrix? bias_N = null)
    {
        Check(a_MK.Columns == b_NK.Columns && a_MK.Rows == c_MN.Rows && b_NK.Rows == c_MN.Columns, "A·Bᵀ", a_MK, b_NK, c_MN, bias_N);
        int chunk = ChunkColumns(b_NK.Columns);
        for (int n = 0; n < b_NK.Rows; n += chunk)
        {
            int some = Math.Min(chunk, b_NK.Rows - n);
            PackRows(b_NK.SliceRows(n, some), Reserve(some, b_NK.Columns));
            Multiply(a_MK, _packed, b_NK.Columns, c_MN.SliceColumns(n, some), bias_N?.SliceColumns(n, some), turned: false);
        }
    }

    /// <summary>C = A·Bᵀ (+ bias on every row), B packed by <see cref="Pack"/>.</summary>
    public void TimesTransposed(Matrix a_MK, PackedMatrix b, Matrix c_MN, Matrix? bias_N = null)
    {
        bool fits = a_MK.Columns == b.Depth && a_MK.Rows == c_MN.Rows && b.Columns == c_MN.Columns && b.PanelColumns == PanelColumns;
        if (!fits)
        {
            throw new ShapeException("A·Bᵀ", "A [M, K], B packed [N, K] for this path, C [M, N]", $"{a_MK}, [{b.Columns}, {b.Depth}], {c_MN}");
        }

        Multiply(a_MK, b.Buffer, b.Depth, c_MN, bias_N, turned: false);
    }

    /// <summary>C = A·B (+ bias on every row).</summary>
    public void Times(Matrix a_MK, Matrix b_KN, Matrix c_MN, Matrix? bias_N = null)
    {
        Check(a_MK.Columns == b_KN.Rows && a_MK.Rows == c_MN.Rows && b_KN.Columns == c_MN.Columns, "A·B", a_MK, b_KN, c_MN, bias_N);
        TimesColumns(a_MK, b_KN, c_MN, bias_N, turned: false);
    }

    /// <summary>C = Aᵀ·B (+ bias on every row): A is [K, M].</summary>
    public void TransposedTimes(Matrix a_KM, Matrix b_KN, Matrix c_MN, Matrix? bias_N = null)
    {
        Check(a_KM.Rows == b_KN.Rows && a_KM.Columns == c_MN.Rows && b_KN.Columns == c_MN.Columns, "Aᵀ·B", a_KM, b_KN, c_MN, bias_N);
        TimesColumns(a_KM, b_KN, c_MN, bias_N, turned: true);
    }

    /// <summary>Packs B [N, K] (float32 or bfloat16) for <see cref="TimesTransposed(Matrix, PackedMatrix, Matrix, Matrix?)"/> on this path.</summary>
    public PackedMatrix Pack(Matrix b_NK)
    {
        ElementType type = b_NK.Type == ElementType.BFloat16 ? ElementType.BFloat16 : ElementType.Float32;
        PackedMatrix packed = new(b_NK.Rows, b_NK.Columns, PanelColumns, type);
        PackRows(b_NK, packed.Buffer);
        return packed;
    }

    public void Dispose()
    {
        _scratch.Dispose();
        _packed.Dispose();
        _sums.Dispose();
    }

    /// <summary>Packs the rows of a float32 or bfloat16 matrix into panels [panel][k][column] of <paramref name="target"/>.</summary>
    internal void PackRows(Matrix b_NK, HostBuffer target) => PackRows(b_NK, target.Pointer, target.Type == ElementType.BFloat16);

    /// <summary>A·Bᵀ whose blocks go to <paramref name="end"/> instead of into a matrix; each row starts at its element of <paramref name="start_M"/>.</summary>
    internal void TimesTransposed(Matrix a_MK, Matrix b_NK, float* start_M, in ProductEnd end)
    {
        HostBuffer packed = Reserve(b_NK.Rows, b_NK.Columns);
        PackRows(b_NK, packed);
        Run(a_MK, packed, a_MK.Rows, b_NK.Rows, b_NK.Columns, start_M, turned: false, end);
    }

    /// <summary>Aᵀ·B whose blocks go to <paramref name="end"/> instead of into a matrix.</summary>
    internal void TransposedTimes(Matrix a_KM, Matrix b_KN, in ProductEnd end)
        => Run(a_KM, PackColumns(b_KN), a_KM.Columns, b_KN.Columns, b_KN.Rows, null, turned: true, end);

    void PackRows(Matrix b_NK, void* target, bool keep)
    {
        PackJob job = new()
        {
            Source = (byte*)((HostBuffer)b_NK.Buffer).Pointer + b_NK.Offset * b_NK.Type.Size(),
            Stride = b_NK.Stride,
            Valid = b_NK.Rows,
            Depth = b_NK.Columns,
            Columns = PanelColumns,
            Target = target,
            SourceType = b_NK.Type,
            Keep = keep,
        };
        _pool.Run((b_NK.Rows + PanelColumns - 1) / PanelColumns, &PackRowsTask, &job);
    }

    static void PackRowsTask(void* state, int panel, int worker)
    {
        PackJob* job = (PackJob*)state;
        int first = panel * job->Columns;
        int rows = Math.Min(job->Columns, job->Valid - first);
        nint at = (nint)panel * job->Columns * job->Depth;
        if (job->Keep)
        {
            MatmulPanels.FromRowsBFloat16((ushort*)job->Source + first * job->Stride, job->Stride, rows, job->Depth, job->Columns, (ushort*)job->Target + at);
        }
        else if (job->SourceType == ElementType.BFloat16)
        {
            MatmulPanels.FromRowsWidened((ushort*)job->Source + first * job->Stride, job->Stride, rows, job->Depth, job->Columns, (float*)job->Target + at);
        }
        else
        {
            MatmulPanels.FromRows((float*)job->Source + first * job->Stride, job->Stride, rows, job->Depth, job->Columns, (float*)job->Target + at);
        }
    }

    static void PackColumnsTask(void* state, int task, int worker)
    {
        PackJob* job = (PackJob*)state;
        int end = Math.Min(job->Depth, (task + 1) * PackSteps);
        // A few steps of k at a time: rows are read in their order, and each panel gets whole pages' worth of lines in a row.
        for (int k = task * PackSteps; k < end; k += PackSteps / 4)
        {
            int steps = Math.Min(PackSteps / 4, end - k);
            for (int first = 0; first < job->Valid; first += job->Columns)
            {
                float* target = (float*)job->Target + (nint)first * job->Depth + (nint)k * job->Columns;
                MatmulPanels.FromColumns((float*)job->Source + k * job->Stride + first, job->Stride, Math.Min(job->Columns, job->Valid - first), steps, job->Columns, target);
            }
        }
    }

    void TimesColumns(Matrix a, Matrix b_KN, Matrix c_MN, Matrix? bias_N, bool turned)
    {
        int chunk = ChunkColumns(b_KN.Rows);
        for (int n = 0; n < b_KN.Columns; n += chunk)
        {
            int some = Math.Min(chunk, b_KN.Columns - n);
            HostBuffer packed = PackColumns(b_KN.SliceColumns(n, some));
            Multiply(a, packed, b_KN.Rows, c_MN.SliceColumns(n, some), bias_N?.SliceColumns(n, some), turned);
        }
    }

    HostBuffer PackColumns(Matrix b_KN)
    {
        HostBuffer packed = Reserve(b_KN.Columns, b_KN.Rows);
        PackJob job = new()
        {
            Source = b_KN.Floats,
            Stride = b_KN.Stride,
            Valid = b_KN.Columns,
            Depth = b_KN.Rows,
            Columns = PanelColumns,
            Target = packed.Pointer,
        };
        _pool.Run((job.Depth + PackSteps - 1) / PackSteps, &PackColumnsTask, &job);
        return packed;
    }

    int ChunkColumns(int depth)
        => (int)Math.Max(PanelColumns, Math.Min(1 << 24, PackedFloats / Math.Max(1, depth)) / PanelColumns * PanelColumns);

    HostBuffer Reserve(int columns, int depth)
    {
        long floats = Math.Max(1, ((long)columns + PanelColumns - 1) / PanelColumns * PanelColumns * depth);
        Scratch.Grow(ref _packed, floats);

        return _packed;
    }

    void Multiply(Matrix a, HostBuffer panels, int depth, Matrix c_MN, Matrix? bias_N, bool turned)
    {
        ProductTasks.Job job = new()
        {
            A = a.Floats,
            Lda = a.Stride,
            Rows = c_MN.Rows,
            Turned = turned,
            B = panels.Pointer,
            Widen = panels.Type == ElementType.BFloat16,
            Depth = depth,
            C = c_MN.Floats,
            Ldc = c_MN.Stride,
            Columns = c_MN.Columns,
            Bias = bias_N is { } bias ? bias.Floats : null,
        };
        Run(ref job);
    }

    void Run(Matrix a, HostBuffer panels, int rows, int columns, int depth, float* start, bool turned, in ProductEnd end)
    {
        ProductTasks.Job job = new()
        {
            A = a.Floats,
            Lda = a.Stride,
            Rows = rows,
            Turned = turned,
            B = panels.Pointer,
            Depth = depth,
            Columns = columns,
            RowBias = start,
            End = end,
            // Rows a power of two apart would share the same few cache sets.
            Ldc = (columns + 15) / 16 * 16 + 16,
        };
        job.PerWorker = ProductTasks.BlockRows * job.Ldc;
        job.C = Scratch.Grow(ref _sums, job.PerWorker * _pool.Threads).Floats;
        Run(ref job);
    }

    void Run(ref ProductTasks.Job job)
    {
        if (job.Rows == 0 || job.Columns == 0)
        {
            return;
        }

        job.Scratch = _scratch.Floats;
        int tasks = job.Plan(PanelColumns, _pool.Threads);
        fixed (ProductTasks.Job* state = &job)
        {
            switch (_path)
            {
                case CpuPath.Avx512:
                    _pool.Run(tasks, &ProductTasks.Run<MatmulAvx512F32>, state);
                    break;
                case CpuPath.Avx2:
                    _pool.Run(tasks, &ProductTasks.Run<MatmulAvx2F32>, state);
                    break;
                default:
                    _pool.Run(tasks, &ProductTasks.Run<MatmulVectorF32>, state);
                    break;
            }
        }
    }

    static void Check(bool fits, string operation, Matrix a, Matrix b, Matrix c, Matrix? bias)
    {
        if (!fits || (bias is { } row && row.Columns != c.Columns))
        {
            throw new ShapeException(operation, "inner sizes agree and C has the outer ones", $"{a}, {b}, C {c}, bias {bias}");
        }
    }

    struct PackJob
    {
        public void* Source;
        public nint Stride;
        public int Valid;
        public int Depth;
        public int Columns;
        public void* Target;
        public ElementType SourceType;
        public bool Keep;
    }
}
