using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using Diffract.Compute.Buffers;
using Diffract.Compute.Kernels;
using Diffract.Cpu.Threads;

namespace Diffract.Cpu.Crosscoder;

/// <summary>
/// The losses of a reconstruction, their gradients, and sums over a batch. Each token, or each column, is summed by itself in double;
/// the parts are added up in their order by one thread.
/// </summary>
sealed unsafe class Residuals(WorkerPool pool) : IDisposable
{
    const int TokensPerTask = 16;
    const int ColumnsPerTask = 64;
    const int ElementsPerTask = 16384;

    HostBuffer _parts = new(ElementType.Float64, 16);

    public void Dispose() => _parts.Dispose();

    public ResidualSums Run(Matrix acts_BE, Matrix recon_BE, ReadOnlySpan<int> modelOffsets, bool meanSquared, Matrix? residual_BE, Matrix? grad_BE)
    {
        int tokens = acts_BE.Rows, models = modelOffsets.Length - 1;
        double* parts = Parts(2L * tokens);
        fixed (int* offsets = modelOffsets)
        {
            Job job = new()
            {
                A = acts_BE.Floats,
                AStride = acts_BE.Stride,
                B = recon_BE.Floats,
                BStride = recon_BE.Stride,
                Rows = tokens,
                Offsets = offsets,
                Models = models,
                MeanSquared = meanSquared,
                Factor = (meanSquared ? 2.0 : 1.0) / ((double)tokens * models),
                Parts = parts,
            };
            if (residual_BE is { } residual)
            {
                job.Residual = residual.Floats;
                job.ResidualStride = residual.Stride;
            }

            if (grad_BE is { } grad)
            {
                job.Grad = grad.Floats;
                job.GradStride = grad.Stride;
            }

            pool.Run((tokens + TokensPerTask - 1) / TokensPerTask, &Tokens, &job);
        }

        double norms = 0, squares = 0;
        for (int b = 0; b < tokens; b++)
        {
            norms += parts[2 * b];
            squares += parts[2 * b + 1];
        }

        return new ResidualSums(norms, squares);
    }

    public (double Squared, double Denominator) Aux(Matrix residual_BE, Matrix auxRecon_BE, double alpha, Matrix grad_BE)
    {
        int columns = residual_BE.Columns;
        double* parts = Parts(2L * columns);
        Job job = new()
        {
            A = residual_BE.Floats,
            AStride = residual_BE.Stride,
            B = auxRecon_BE.Floats,
            BStride = auxRecon_BE.Stride,
            Rows = residual_BE.Rows,
            Columns = columns,
            Grad = grad_BE.Floats,
            GradStride = grad_BE.Stride,
            Parts = parts,
        };
        pool.Run((columns + ColumnsPerTask - 1) / ColumnsPerTask, &AuxColumns, &job);
        double squared = 0, denominator = 0;
        for (int c = 0; c < columns; c++)
        {
            squared += parts[2 * c];
            denominator += parts[2 * c + 1];
        }

        job.Factor = denominator > 0 ? 2 * alpha / denominator : 0;
        pool.Run((residual_BE.Rows + TokensPerTask - 1) / TokensPerTask, &AuxGradient, &job);
        return (squared, denominator);
    }

    /// <summary>target = (source - before)·factor + after; null parts are left out.</summary>
    public void Affine(Matrix source_BE, Matrix? before_E, Matrix? factor_E, Matrix? after_E, Matrix target_BE)
    {
        AffineJob job = new()
        {
            Source = source_BE.Floats,
            SourceStride = source_BE.Stride,
            Before = before_E is { } before ? before.Floats : null,
            Factor = factor_E is { } factor ? factor.Floats : null,
            After = after_E is { } after ? after.Floats : null,
            Target = target_BE.Floats,
            TargetStride = target_BE.Stride,
            Rows = source_BE.Rows,
            Columns = source_BE.Columns,
        };
        pool.Run((job.Rows + TokensPerTask - 1) / TokensPerTask, &AffineRows, &job);
    }

    static void AffineRows(void* state, int task, int worker)
    {
        AffineJob* job = (AffineJob*)state;
        int end = Math.Min(job->Rows, (task + 1) * TokensPerTask);
        for (int b = task * TokensPerTask; b < end; b++)
        {
            float* source = job->Source + b * job->SourceStride;
            float* target = job->Target + b * job->TargetStride;
            for (int c = 0; c < job->Columns; c++)
            {
                float x = job->Before == null ? source[c] : source[c] - job->Before[c];
                x = job->Factor == null ? x : x * job->Factor[c];
                target[c] = job->After == null ? x : x + job->After[c];
            }
        }
    }

    public void ColumnSums(Matrix grad_BE, Matrix sum_E)
    {
        Job job = new() { A = grad_BE.Floats, AStride = grad_BE.Stride, Rows = grad_BE.Rows, Columns = grad_BE.Columns, Grad = sum_E.Floats };
        pool.Run((grad_BE.Columns + ColumnsPerTask - 1) / ColumnsPerTask, &SumColumns, &job);
    }

    public double SumOfSquares(Matrix matrix)
    {
        // Cut where it lies, not by the number of threads: the parts are always the same.
        int cuts = Math.Max(1, (matrix.Columns + ElementsPerTask - 1) / ElementsPerTask);
        double* parts = Parts((long)matrix.Rows * cuts);
        Job job = new() { A = matrix.Floats, AStride = matrix.Stride, Rows = matrix.Rows, Columns = matrix.Columns, Models = cuts, Parts = parts };
        int total = checked(matrix.Rows * cuts);
        pool.Run((total + TokensPerTask - 1) / TokensPerTask, &SquareParts, &job);
        double sum = 0;
        for (int i = 0; i < total; i++)
        {
            sum += parts[i];
        }

        return sum;
    }

    double* Parts(long length)
    {
        Scratch.Grow(ref _parts, length);

        return _parts.Doubles;
    }

    static void Tokens(void* state, int task, int worker)
    {
        Job* job = (Job*)state;
        int end = Math.Min(job->Rows, (task + 1) * TokensPerTask);
        for (int b = task * TokensPerTask; b < end; b++)
        {
            double norms = 0, squares = 0;
            for (int m = 0; m < job->Models; m++)
            {
                int first = job->Offsets[m], width = job->Offsets[m + 1] - first;
                float* a = job->A + b * job->AStride + first;
                float* r = job->B + b * job->BStride + first;
                float* residual = job->Residual == null ? null : job->Residual + b * job->ResidualStride + first;
                double square = Difference(a, r, residual, width);
                double norm = Math.Sqrt(square);
                squares += square;
                norms += norm;
                if (job->Grad != null)
                {
                    double factor = job->MeanSquared ? job->Factor : norm > 0 ? job->Factor / norm : 0;
                    Scaled(a, r, (float)-factor, job->Grad + b * job->GradStride + first, width);
                }
            }

            job->Parts[2 * b] = norms;
            job->Parts[2 * b + 1] = squares;
        }
    }

    /// <summary>Σ (a - b)², in double; a - b is written where asked.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    static double Difference(float* a, float* b, float* target, int width)
    {
        Vector256<double> s0 = Vector256<double>.Zero, s1 = s0;
        int c = 0;
        for (; c <= width - 8; c += 8)
        {
            Vector256<float> e = Vector256.Load(a + c) - Vector256.Load(b + c);
            if (target != null)
            {
                e.Store(target + c);
            }

            Vector256<double> low = Vector256.WidenLower(e), high = Vector256.WidenUpper(e);
            s0 = Vector256.MultiplyAddEstimate(low, low, s0);
            s1 = Vector256.MultiplyAddEstimate(high, high, s1);
        }

        double sum = Vector256.Sum(s0 + s1);
        for (; c < width; c++)
        {
            float e = a[c] - b[c];
            if (target != null)
            {
                target[c] = e;
            }

            sum += (double)e * e;
        }

        return sum;
    }

    /// <summary>target = (a - b)·factor.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    static void Scaled(float* a, float* b, float factor, float* target, int width)
    {
        int c = 0;
        Vector256<float> f = Vector256.Create(factor);
        for (; c <= width - 8; c += 8)
        {
            ((Vector256.Load(a + c) - Vector256.Load(b + c)) * f).Store(target + c);
        }

        for (; c < width; c++)
        {
            target[c] = (a[c] - b[c]) * factor;
        }
    }

    static void AuxColumns(void* state, int task, int worker)
    {
        Job* job = (Job*)state;
        int first = task * ColumnsPerTask;
        int columns = Math.Min(ColumnsPerTask, job->Columns - first);
        double* means = stackalloc double[ColumnsPerTask];
        new Span<double>(means, ColumnsPerTask).Clear();
        RowSums.AddColumns(job->A + first, job->AStride, job->Rows, columns, means);
        for (int c = 0; c < columns; c++)
        {
            means[c] /= job->Rows;
            job->Parts[2 * (first + c)] = 0;
            job->Parts[2 * (first + c) + 1] = 0;
        }

        for (int b = 0; b < job->Rows; b++)
        {
            float* r = job->A + b * job->AStride + first;
            float* aux = job->B + b * job->BStride + first;
            double* parts = job->Parts + 2 * first;
            for (int c = 0; c < columns; c++)
            {
                double error = (double)aux[c] - r[c], spread = r[c] - means[c];
                parts[2 * c] += error * error;
                parts[2 * c + 1] += spread * spread;
            }
        }
    }

    static void AuxGradient(void* state, int task, int worker)
    {
        Job* job = (Job*)state;
        int end = Math.Min(job->Rows, (task + 1) * TokensPerTask);
        for (int b = task * TokensPerTask; b < end; b++)
        {
            Scaled(job->B + b * job->BStride, job->A + b * job->AStride, (float)job->Factor, job->Grad + b * job->GradStride, job->Columns);
        }
    }

    static void SumColumns(void* state, int task, int worker)
    {
        Job* job = (Job*)state;
        int first = task * ColumnsPerTask;
        int columns = Math.Min(ColumnsPerTask, job->Columns - first);
        double* sums = stackalloc double[ColumnsPerTask];
        new Span<double>(sums, ColumnsPerTask).Clear();
        RowSums.AddColumns(job->A + first, job->AStride, job->Rows, columns, sums);
        for (int c = 0; c < columns; c++)
        {
            job->Grad[first + c] = (float)sums[c];
        }
    }

    static void SquareParts(void* state, int task, int worker)
    {
        Job* job = (Job*)state;
        int cuts = job->Models;
        int end = Math.Min(job->Rows * cuts, (task + 1) * TokensPerTask);
        for (int i = task * TokensPerTask; i < end; i++)
        {
            int first = i % cuts * ElementsPerTask;
            job->Parts[i] = RowSums.Squares(job->A + i / cuts * job->AStride + first, Math.Min(ElementsPerTask, job->Columns - first));
        }
    }

    struct AffineJob
    {
        public float* Source;
        public nint SourceStride;
        public float* Before;
        public float* Factor;
        public float* After;
        public float* Target;
        public nint TargetStride;
        public int Rows;
        public int Columns;
    }

    struct Job
    {
        public float* A;
        public nint AStride;
        public float* B;
        public nint BStride;
        public int Rows;
        public int Columns;
        public int* Offsets;
        public int Models;
        public bool MeanSquared;
        public double Factor;
        public float* Residual;
        public nint ResidualStride;
        public float* Grad;
        public nint GradStride;
        public double* Parts;
    }
}
