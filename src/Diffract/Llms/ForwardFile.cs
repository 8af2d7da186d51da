using System.Globalization;
using System.Runtime.InteropServices;
using Diffract.Compute.Buffers;
using Diffract.Compute.Kernels;
using Diffract.Formats;
using Diffract.Runs;

namespace Diffract.Llms;

/// <summary>What a forward pass over a file of ids is asked for.</summary>
public sealed record ForwardRequest
{
    /// <summary>Checkpoint folder; only config.json and weights are read.</summary>
    public required string Model { get; init; }

    /// <summary>JSON lines with <c>ids</c>.</summary>
    public required string Ids { get; init; }

    /// <summary>The safetensors file to write.</summary>
    public required string Out { get; init; }

    /// <summary>Blocks (0-based) whose output is written; null: all of them, unless logits or ids are asked for.</summary>
    public IReadOnlyList<int>? Blocks { get; init; }

    /// <summary>Whether logits are written, at every position.</summary>
    public bool Logits { get; init; }

    /// <summary>New ids by greedy decoding, which does not stop at end ids; 0: none.</summary>
    public int Greedy { get; init; }
}

/// <summary>
/// Runs a model over a file of ids: for input line r (from 0) the tensors <c>r.block_i</c> [T, D], <c>r.logits</c> [T, V] and <c>r.greedy</c> [N]. A row is computed when it is
/// written, so that memory holds one at a time. A line without ids gives tensors of no rows; its greedy ids start from the model's BOS.
/// </summary>
public static class ForwardFile
{
    /// <summary>Returns the number of lines and of tokens.</summary>
    public static (int Rows, long Tokens) Run(IBackend backend, ForwardRequest request, IProgressSink progress, CancellationToken stop)
    {
        if (request.Greedy < 0)
        {
            throw DiffractException.Argument($"--greedy {request.Greedy} is too small; wanted a number of new ids, 0 or more");
        }

        LlmConfig config = LlmConfig.Load(request.Model);
        int[] blocks = [.. (request.Blocks ?? (request.Logits || request.Greedy > 0 ? [] : Enumerable.Range(0, config.Layers))).Distinct().Order()];
        foreach (int block in blocks)
        {
            if (block < 0 || block >= config.Layers)
            {
                throw DiffractException.Argument($"--blocks {block} is out of range: {request.Model} has blocks 0 to {config.Layers - 1}");
            }
        }

        IReadOnlyList<int[]> rows = IdLines.Read(request.Ids, config.Vocabulary);
        int longest = rows.Select(r => r.Length).DefaultIfEmpty().Max();
        using Llm llm = Llm.Load(request.Model, backend, longest, request.Logits || request.Greedy > 0);
        long tokens = rows.Sum(r => (long)r.Length);
        using RowPass pass = new(llm, backend, blocks, request.Logits, longest);
        SafetensorsWriter writer = new();
        for (int r = 0; r < rows.Count; r++)
        {
            int row = r;
            string name = row.ToString(CultureInfo.InvariantCulture);
            foreach (int block in blocks)
            {
                Add($"{name}.block_{block}", rows[row].Length, config.Width, () => pass.Row(row, rows[row]).Block(block));
            }

            if (request.Logits)
            {
                Add($"{name}.logits", rows[row].Length, config.Vocabulary, () => pass.Row(row, rows[row]).Logits);
            }

            if (request.Greedy > 0)
            {
                writer.AddBytes($"{name}.greedy", "I64", [request.Greedy], request.Greedy * 8L, stream =>
                {
                    Report(row);
                    int[] ids = llm.Greedy(rows[row], request.Greedy, stopAtEnd: false, stop);
                    stream.Write(MemoryMarshal.AsBytes<long>(Array.ConvertAll(ids, id => (long)id)));
                });
            }

            void Add(string tensor, int length, int width, Func<float[]> values) => writer.AddBytes(tensor, "F32", [length, width], (long)length * width * 4, stream =>
            {
                Report(row);
                stop.ThrowIfCancellationRequested();
                stream.Write(MemoryMarshal.AsBytes<float>(values()));
            });
        }

        writer.Save(request.Out);
        return (rows.Count, tokens);

        void Report(int row) => progress.Report("forward", row + 1, rows.Count, "lines");
    }

    /// <summary>One row's forward pass, kept until the next row is asked for.</summary>
    sealed class RowPass(Llm llm, IBackend backend, int[] blocks, bool logits, int longest) : IDisposable
    {
        readonly TokenBatch _batch = new(longest, 1);
        readonly Matrix _resid_TD = backend.Matrix(Math.Max(longest, 1), llm.Config.Width);
        readonly Dictionary<int, float[]> _blocks = [];
        int _row = -1;

        /// <summary>[T, V].</summary>
        public float[] Logits { get; private set; } = [];

        /// <summary>[T, D].</summary>
        public float[] Block(int block) => _blocks[block];

        public RowPass Row(int row, int[] ids)
        {
            if (row == _row)
            {
                return this;
            }

            _batch.Clear();
            _batch.Add(ids);
            Matrix logits_TV = backend.Matrix(Math.Max(logits ? ids.Length : 0, 1), llm.Config.Vocabulary);
            try
            {
                int[] positions = logits ? [.. Enumerable.Range(0, ids.Length)] : [];
                int last = blocks.Length > 0 ? blocks[^1] : -1;
                llm.Forward(_batch, _resid_TD.SliceRows(0, ids.Length), last, Keep, positions, logits_TV.SliceRows(0, positions.Length));
                Logits = Floats(logits_TV.SliceRows(0, positions.Length));
            }
            finally
            {
                logits_TV.Buffer.Dispose();
            }

            _row = row;
            return this;
        }

        public void Dispose() => _resid_TD.Buffer.Dispose();

        void Keep(int block, Matrix resid_TD)
        {
            if (Array.BinarySearch(blocks, block) >= 0)
            {
                _blocks[block] = Floats(resid_TD);
            }
        }

        float[] Floats(Matrix matrix)
        {
            float[] values = new float[(long)matrix.Rows * matrix.Columns];
            backend.Download(matrix, values);
            return values;
        }
    }
}
