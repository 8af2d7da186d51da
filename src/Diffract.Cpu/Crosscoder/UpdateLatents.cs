using Diffract.Compute.Buffers;
using Diffract.Compute.Kernels;
using Diffract.Cpu.Threads;

namespace Diffract.Cpu.Crosscoder;

/// <summary>
/// One visit per latent: its code gradients, both weight gradients, then Adam and the norms while all of it is in the first-level cache; no gradient matrix exists.
/// The clip norm needs all gradients before the first update. It takes a visit of its own, which keeps the gradients of the latents with the most pairs, as many as a batch has tokens; those of the
/// others are summed once more, which costs less than to keep them.
/// </summary>
sealed unsafe partial class UpdateLatents(WorkerPool pool) : IDisposable
{
    const int LatentsPerTask = 16;

    HostBuffer _squares = new(ElementType.Float64, 16);

    public void Dispose()
    {
        _squares.Dispose();
        _rows.Dispose();
        _kept.Dispose();
        _slots.Dispose();
        _biases.Dispose();
        _hot.Dispose();
    }

    /// <summary>Σ of the squares of all gradients, in double: by virtual shard in the order of its latents, the shards by their tree.</summary>
    public double GradientSquares(ReadOnlySpan<LatentTerm> terms, Matrix acts_BE, in LatentParameters parameters, bool keep)
    {
        int latents = parameters.WEnc_LE.Rows;
        Scratch.Grow(ref _squares, latents);

        Term* pointers = stackalloc Term[terms.Length];
        fixed (int* offsets = parameters.ModelOffsets)
        {
            Job job = Prepare(terms, pointers, acts_BE, parameters, offsets);
            Assign(&job, keep ? acts_BE.Rows : 0);
            job.Squares = _squares.Doubles;
            SumHot(&job);
            pool.Run((latents + LatentsPerTask - 1) / LatentsPerTask, &Square, &job);
            Remember(terms, acts_BE, keep);
        }

        return VirtualShards.Sum(new ReadOnlySpan<double>(_squares.Doubles, latents), terms.Length == 0 ? VirtualShards.Size(latents) : terms[0].Code.ShardSize);
    }

    public void Update(ReadOnlySpan<LatentTerm> terms, Matrix acts_BE, in LatentParameters parameters, in AdamStep adam)
    {
        Term* pointers = stackalloc Term[terms.Length];
        fixed (int* offsets = parameters.ModelOffsets)
        {
            Job job = Prepare(terms, pointers, acts_BE, parameters, offsets);
            if (Remembers(terms, acts_BE))
            {
                job.Ready = true;
                job.Kept = _kept.Floats;
                job.Slots = _slots.Ints;
                job.Biases = _biases.Doubles;
            }
            else
            {
                Assign(&job, 0);
                SumHot(&job);
            }

            job.Adam = new Adam(adam);
            pool.Run((job.Latents + LatentsPerTask - 1) / LatentsPerTask, &Move, &job);
            Forget();
        }
    }

    /// <summary>Writes the decoder norms and s from wDec alone.</summary>
    public void Norms(in LatentParameters parameters)
    {
        fixed (int* offsets = parameters.ModelOffsets)
        {
            Job job = Prepare([], null, default, parameters, offsets);
            pool.Run((job.Latents + LatentsPerTask - 1) / LatentsPerTask, &Measure, &job);
        }
    }

    Job Prepare(ReadOnlySpan<LatentTerm> terms, Term* pointers, Matrix acts_BE, in LatentParameters p, int* offsets)
    {
        int width = p.WDec_LE.Columns;
        int padded = (width + 15) / 16 * 16;
        Scratch.Grow(ref _rows, 2L * padded * pool.Threads);

        for (int i = 0; i < terms.Length; i++)
        {
            SparseCode code = terms[i].Code;
            pointers[i] = new Term
            {
                Start = code.LatentStart.Ints,
                Token = code.PairToken.Ints,
                Value = code.PairValue.Floats,
                Gradient = code.PairGradient.Floats,
                Active = code.ModelOffsets is null ? null : code.PairModels!.Ints,
                Grad = terms[i].Grad_BE.Floats,
                GradStride = terms[i].Grad_BE.Stride,
                Fresh = terms[i].Penalty is not null && code.ModelOffsets is null,
                Penalty = terms[i].Penalty ?? 0,
            };
        }

        return new Job
        {
            Terms = pointers,
            TermCount = terms.Length,
            Acts = terms.Length == 0 ? null : acts_BE.Floats,
            ActsStride = acts_BE.Stride,
            Latents = p.WDec_LE.Rows,
            Width = width,
            Padded = padded,
            Rows = _rows.Floats,
            Offsets = offsets,
            Models = p.ModelOffsets.Length - 1,
            CodeNorm = p.CodeNorm,
            Shape = new GradientShape(p, offsets),
            Enc = Rows.Of(p.WEnc_LE),
            EncM = Rows.Of(p.EncM_LE),
            EncV = Rows.Of(p.EncV_LE),
            Dec = Rows.Of(p.WDec_LE),
            DecM = Rows.Of(p.DecM_LE),
            DecV = Rows.Of(p.DecV_LE),
            Bias = Rows.Of(p.BEnc_L),
            BiasM = Rows.Of(p.BiasM_L),
            BiasV = Rows.Of(p.BiasV_L),
            Norms = Rows.Of(p.Norms_LM),
            Scale = Rows.Of(p.Scale_L),
            PullRows = p.Pull_LM is { } pull ? Rows.Of(pull) : default,
        };
    }

    static void Square(void* state, int task, int worker)
    {
        Job* job = (Job*)state;
        int end = Math.Min(job->Latents, (task + 1) * LatentsPerTask);
        for (int j = task * LatentsPerTask; j < end; j++)
        {
            Gradient g = Sum(job, j, worker);
            job->Squares[j] = g.Dec == null ? 0 : RowSums.Squares(g.Dec, job->Width) + RowSums.Squares(g.Enc, job->Width) + g.Bias * g.Bias;
        }
    }

    static void Move(void* state, int task, int worker)
    {
        Job* job = (Job*)state;
        int end = Math.Min(job->Latents, (task + 1) * LatentsPerTask);
        for (int j = task * LatentsPerTask; j < end; j++)
        {
            Gradient g = Sum(job, j, worker);
            job->Adam.Row(job->Enc.At(j), g.Enc, job->EncM.At(j), job->EncV.At(j), job->Width);
            job->Adam.Row(job->Dec.At(j), g.Dec, job->DecM.At(j), job->DecV.At(j), job->Width);
            job->Shape.Renormalise(job->Dec.At(j));
            job->Adam.Single(job->Bias.Pointer + j, (float)g.Bias, job->BiasM.Pointer + j, job->BiasV.Pointer + j);
            Measure(job, j);
        }
    }

    static void Measure(void* state, int task, int worker)
    {
        Job* job = (Job*)state;
        int end = Math.Min(job->Latents, (task + 1) * LatentsPerTask);
        for (int j = task * LatentsPerTask; j < end; j++)
        {
            Measure(job, j);
        }
    }

    static void Measure(Job* job, int j)
    {
        double sum = 0, squares = 0;
        for (int m = 0; m < job->Models; m++)
        {
            int first = job->Offsets[m];
            double square = RowSums.Squares(job->Dec.At(j) + first, job->Offsets[m + 1] - first);
            double norm = Math.Sqrt(square);
            job->Norms.At(j)[m] = (float)norm;
            sum += norm;
            squares += square;
        }

        job->Scale.Pointer[j] = (float)job->CodeNorm.Scale(sum, squares);
    }

    static bool Pulled(Job* job, int j)
    {
        if (job->PullRows.Pointer != null)
        {
            for (int m = 0; m < job->Models; m++)
            {
                if (job->PullRows.At(j)[m] != 0)
                {
                    return true;
                }
            }
        }

        return false;
    }

    static void Pull(Job* job, int j, float* gDec)
    {
        if (!Pulled(job, j))
        {
            return;
        }

        for (int m = 0; m < job->Models; m++)
        {
            int first = job->Offsets[m], width = job->Offsets[m + 1] - first;
            float* d = job->Dec.At(j) + first;
            double norm = Math.Sqrt(RowSums.Squares(d, width));
            if (norm > 0)
            {
                float factor = (float)(job->PullRows.At(j)[m] / norm);
                for (int c = 0; c < width; c++)
                {
                    gDec[first + c] = float.MultiplyAddEstimate(factor, d[c], gDec[first + c]);
                }
            }
        }
    }

    readonly struct Rows(float* pointer, nint stride)
    {
        public readonly float* Pointer = pointer;
        readonly nint _stride = stride;

        public static Rows Of(Matrix matrix) => matrix.Buffer is null ? default : new(matrix.Floats, matrix.Stride);

        public float* At(int row) => Pointer + row * _stride;
    }

    struct Term
    {
        public int* Start;
        public int* Token;
        public float* Value;
        public float* Gradient;
        public int* Active;
        public float* Grad;
        public nint GradStride;
        public bool Fresh;
        public float Penalty;
    }

    struct Job
    {
        public Term* Terms;
        public int TermCount;
        public float* Acts;
        public nint ActsStride;
        public int Latents;
        public int Width;
        public int Padded;
        public float* Rows;
        public float* Kept;
        public int* Slots;
        public double* Biases;
        public int* Hot;
        public int HotCount;
        public int Parts;
        public bool Ready;
        public int* Offsets;
        public int Models;
        public CodeNorm CodeNorm;
        public GradientShape Shape;
        public Rows Enc, EncM, EncV, Dec, DecM, DecV, Bias, BiasM, BiasV, Norms, Scale, PullRows;
        public double* Squares;
        public Adam Adam;
    }
}
