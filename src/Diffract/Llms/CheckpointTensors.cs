using System.Globalization;
using Diffract.Compute.Buffers;
using Diffract.Compute.Kernels;
using Diffract.Formats;
using Diffract.Runs;

namespace Diffract.Llms;

/// <summary>The weight files of a checkpoint folder, their tensors by name as matrices: views of the mapped files where that is possible, copies elsewhere. Owns both.</summary>
sealed unsafe class CheckpointTensors : IDisposable
{
    /// <summary>Names inside a block that hold no weights: masks and frequencies that older versions saved.</summary>
    static readonly string[] Buffers = [".rotary_emb.inv_freq", ".attn.bias", ".attn.masked_bias", ".attention.bias", ".attention.masked_bias"];

    readonly Dictionary<string, SafetensorsFile> _where = new(StringComparer.Ordinal);
    readonly HashSet<string> _used = new(StringComparer.Ordinal);
    readonly List<SafetensorsFile> _files = [];
    readonly List<IBuffer> _copies = [];
    readonly IBackend _backend;
    readonly string _folder;

    public CheckpointTensors(string folder, IBackend backend)
    {
        (_backend, _folder) = (backend, folder);
        try
        {
            foreach (string path in CheckpointFiles.Weights(folder))
            {
                SafetensorsFile file = SafetensorsFile.Open(path);
                _files.Add(file);
                foreach (string name in file.Tensors.Keys)
                {
                    _where[name] = file;
                }
            }
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    public bool Has(string name) => _where.ContainsKey(name);

    /// <summary>A matrix as it lies in the file; float16 widened.</summary>
    public Matrix Matrix(string name, int rows, int columns)
    {
        SafetensorsFile file = Find(name, rows, columns);
        return file.Tensors[name].Type == "F16" ? Widened(file.View(name), rows, columns) : new Matrix(file.View(name), rows, columns, columns);
    }

    /// <summary>Straight from the file into its place: an array between would take as much again.</summary>
    Matrix Widened(HostBuffer halves, int rows, int columns)
    {
        Matrix copy = _backend.Matrix(rows, columns);
        _copies.Add(copy.Buffer);
        Half* from = (Half*)halves.Pointer;
        float* to = (float*)Start(copy);
        for (long i = 0; i < (long)rows * columns; i++)
        {
            to[i] = (float)from[i];
        }

        return copy;
    }

    /// <summary>A matrix [rows, columns] that the file holds as [columns, rows]: a copy in its type.</summary>
    public Matrix Transposed(string name, int rows, int columns)
    {
        Matrix source = Matrix(name, columns, rows), copy = Like(source, rows, columns);
        int size = source.Type.Size();
        byte* from = Start(source), to = Start(copy);
        for (int r = 0; r < rows; r++)
        {
            for (int c = 0; c < columns; c++)
            {
                long target = (long)r * columns + c, origin = (long)c * rows + r;
                if (size == sizeof(float))
                {
                    ((float*)to)[target] = ((float*)from)[origin];
                }
                else
                {
                    ((ushort*)to)[target] = ((ushort*)from)[origin];
                }
            }
        }

        Release(source);
        return copy;
    }

    /// <summary>A copy whose row r is row source(r) of a matrix, which is not used again.</summary>
    public Matrix Rows(Matrix matrix, Func<int, int> source)
    {
        Matrix copy = Like(matrix, matrix.Rows, matrix.Columns);
        long bytes = (long)matrix.Columns * matrix.Type.Size();
        for (int r = 0; r < matrix.Rows; r++)
        {
            Buffer.MemoryCopy(Start(matrix) + source(r) * bytes, Start(copy) + r * bytes, bytes, bytes);
        }

        Release(matrix);
        return copy;
    }

    /// <summary>A copy of a float32 row whose element c is element source(c).</summary>
    public Matrix Columns(Matrix row, Func<int, int> source)
    {
        float[] values = new float[row.Columns];
        for (int c = 0; c < values.Length; c++)
        {
            values[c] = row.Row(0)[source(c)];
        }

        return Copy(values, 1, values.Length);
    }

    /// <summary>A float32 row [1, width].</summary>
    public Matrix Vector(string name, int width) => Copy(Find(name, width).Floats(name), 1, width);

    /// <summary>A block's tensor that nobody asked for belongs to a model that computes something else: refused by its name.</summary>
    public void RefuseUnused(string prefix, string block, LlmConfig config)
    {
        string start = prefix + block[..block.IndexOf('{', StringComparison.Ordinal)];
        foreach (string name in _where.Keys)
        {
            if (_used.Contains(name) || !name.StartsWith(start, StringComparison.Ordinal) || Buffers.Any(b => name.EndsWith(b, StringComparison.Ordinal)))
            {
                continue;
            }

            int end = name.IndexOf('.', start.Length);
            if (end > 0 && int.TryParse(name.AsSpan(start.Length, end - start.Length), NumberStyles.None, CultureInfo.InvariantCulture, out int layer) && layer < config.Layers)
            {
                throw new DiffractException($"{_where[name].FilePath} has the tensor {name}, which no {config.Family} has as config.json describes it; the checkpoint is of another family, or its config.json is");
            }
        }
    }

    /// <summary>Gives what was read of the mapped files back to the system; copies stay.</summary>
    public void ReleaseFiles() => _files.ForEach(f => f.Release());

    public void Dispose()
    {
        foreach (IBuffer copy in _copies)
        {
            copy.Dispose();
        }

        foreach (SafetensorsFile file in _files)
        {
            file.Dispose();
        }
    }

    static byte* Start(Matrix matrix) => (byte*)((HostBuffer)matrix.Buffer).Pointer + matrix.Offset * matrix.Type.Size();

    Matrix Like(Matrix matrix, int rows, int columns)
    {
        Matrix copy = _backend.Matrix(rows, columns, matrix.Type);
        _copies.Add(copy.Buffer);
        return copy;
    }

    /// <summary>Frees a copy that another one has replaced; a view stays.</summary>
    void Release(Matrix matrix)
    {
        if (_copies.Remove(matrix.Buffer))
        {
            matrix.Buffer.Dispose();
        }
    }

    Matrix Copy(float[] values, int rows, int columns)
    {
        Matrix copy = _backend.Matrix(rows, columns);
        _copies.Add(copy.Buffer);
        _backend.Upload(values, copy);
        return copy;
    }

    SafetensorsFile Find(string name, params long[] shape)
    {
        if (!_where.TryGetValue(name, out SafetensorsFile? file))
        {
            throw new DiffractException($"{_folder} has no tensor {name}, wanted [{string.Join(", ", shape)}] as config.json says; the checkpoint is incomplete or of another family");
        }

        _used.Add(name);
        TensorEntry entry = file.Tensors[name];
        if (entry.Type is not ("F32" or "BF16" or "F16"))
        {
            throw new DiffractException($"{file.FilePath}: tensor {name} is {entry.Type}, wanted F32, BF16 or F16");
        }

        return entry.Shape.AsSpan().SequenceEqual(shape)
            ? file
            : throw new DiffractException(
                $"{file.FilePath}: tensor {name} has the shape [{string.Join(", ", entry.Shape)}], wanted [{string.Join(", ", shape)}] as config.json says");
    }
}
