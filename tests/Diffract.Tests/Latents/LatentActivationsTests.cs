using Diffract.Compute.Buffers;
using Diffract.Compute.Kernels;
using Diffract.Latents;
using Diffract.Runs;
using Diffract.Tests.Scaling;
using Diffract.Tokens;

namespace Diffract.Tests.Latents;

/// <summary>Sparse activations on disk read back as the dense table that they were made from, in both orders, and counts and rates follow from them.</summary>
public sealed class LatentActivationsTests : IDisposable
{
    const int Latents = 17;
    static readonly float[] Scale = [.. Enumerable.Range(0, Latents).Select(j => 0.5f + j)];
    readonly string _folder = Directory.CreateTempSubdirectory().FullName;
    readonly TokenDocument[] _documents;
    readonly float[][] _code_BL;
    readonly byte[] _roles;

    public LatentActivationsTests()
    {
        Random random = new(3);
        int[] numbers = [2, 5, 6, 11], lengths = [7, 1, 30, 12];
        _documents = [.. numbers.Zip(lengths, (n, length) => new TokenDocument(n, n * 100, length, TextSource.Chat, Split.HeldOut, "d" + n, []))];
        int tokens = lengths.Sum();
        _code_BL = [.. Enumerable.Range(0, tokens).Select(_ => Enumerable.Range(0, Latents).Select(j => j != 4 && random.NextDouble() < 0.3 ? random.NextSingle() + 0.1f : 0).ToArray())];
        _code_BL[7] = new float[Latents];
        _roles = [.. Enumerable.Range(0, tokens).Select(t => (byte)(t % 5 == 0 ? TokenRole.Template | TokenRole.Assistant : t % 5 < 3 ? TokenRole.Assistant : TokenRole.User))];
    }

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Theory]
    [InlineData(1L << 20)]
    [InlineData(200L)]
    [InlineData(1L)]
    public void Both_orders_read_back_what_was_added(long sortBytes)
    {
        using LatentActivations read = Write(sortBytes, batch: 13);
        Assert.Equal([2, 5, 6, 11], read.DocumentNumbers);
        Assert.Equal((50, Latents), (read.Tokens, read.Latents));
        Assert.Equal(_code_BL.Sum(row => row.Count(f => f > 0)), read.Entries);

        List<(int, int, int, float)> byToken = [], byLatent = [], wanted = [];
        foreach (int number in read.DocumentNumbers)
        {
            byToken.AddRange(read.OfDocument(number).Select(e => (number, e.Token, e.Latent, e.Value)));
        }

        for (int j = 0; j < Latents; j++)
        {
            Assert.Equal(read.OfLatent(j).Select(e => e.Value), read.Values(j).ToArray());
            Assert.Equal(read.OfLatent(j).Count(), read.Count(j));
            byLatent.AddRange(read.OfLatent(j).Select(e => (e.Document, e.Token, j, e.Value)));
        }

        int row = 0;
        foreach (TokenDocument document in _documents)
        {
            for (int t = 0; t < document.Length; t++, row++)
            {
                wanted.AddRange(Enumerable.Range(0, Latents).Where(j => _code_BL[row][j] > 0).Select(j => (document.Number, t, j, _code_BL[row][j] * Scale[j])));
            }
        }

        Assert.Equal(wanted, byToken);
        Assert.Equal(wanted.OrderBy(e => e.Item3).ThenBy(e => e.Item1).ThenBy(e => e.Item2), byLatent);
        Assert.Empty(read.OfDocument(3));
        Assert.Empty(read.OfLatent(4));
        Assert.Empty(Directory.GetFiles(_folder, "*.part"));
    }

    [Fact]
    public void Maxima_over_a_role_are_those_of_the_dense_table()
    {
        using LatentActivations read = Write(1 << 20, batch: 50);
        float[] byDocument = new float[4], byLatent = new float[Latents];
        int first = 0;
        for (int d = 0; d < 4; d++)
        {
            read.DocumentMaxima(_documents[d].Number, TokenRole.Assistant, byLatent);
            for (int j = 0; j < Latents; j++)
            {
                float wanted = Enumerable.Range(first, _documents[d].Length).Where(t => (_roles[t] & (byte)TokenRole.Assistant) != 0)
                    .Select(t => _code_BL[t][j] * Scale[j]).DefaultIfEmpty(0).Max();
                read.Maxima(j, TokenRole.Assistant, byDocument);
                Assert.Equal(wanted, byDocument[d]);
                Assert.Equal(wanted, byLatent[j]);
            }

            first += _documents[d].Length;
        }
    }

    [Fact]
    public void A_truncated_file_is_refused()
    {
        Write(1 << 20, batch: 50).Dispose();
        string path = Path.Combine(_folder, LatentActivations.FileName);
        using (FileStream file = File.OpenWrite(path))
        {
            file.SetLength(file.Length - 10);
        }

        Assert.Contains("truncated", Assert.Throws<DiffractException>(() => LatentActivations.OpenFile(path)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Counts_rates_and_means_are_those_of_the_dense_table()
    {
        LatentCounts counts = new(Latents);
        Batches(20, (code, scale, roles) => counts.Add(code, scale, roles));
        Assert.Equal(50, counts.Tokens);
        for (int j = 0; j < Latents; j++)
        {
            int[] active = [.. Enumerable.Range(0, 50).Where(t => _code_BL[t][j] > 0)];
            LatentRow row = counts.Row(j, new LatentVectors(1, 2, 0.75, 0.5), new LatentVectors(3, 4, 0.6, 0.4));
            Assert.Equal(active.Length, row.Active);
            Assert.Equal(active.Length / 50.0, row.Rate);
            Assert.Equal(Share(TokenRole.Template), row.Rates.Template);
            Assert.Equal(Share(TokenRole.Assistant), row.Rates.Assistant);
            Assert.Equal(Share(TokenRole.User), row.Rates.User);
            Assert.True(double.IsNaN(row.Rates.Bos));
            Assert.Equal(active.Length < 10, row.Dead);
            if (active.Length == 0)
            {
                Assert.Equal((0.0, double.NaN, double.NaN), (row.MaxActivation, row.MeanActivation, row.TemplateShare));
                continue;
            }

            Assert.Equal(active.Max(t => _code_BL[t][j] * Scale[j]), row.MaxActivation, 1e-7);
            Assert.Equal(active.Average(t => (double)(_code_BL[t][j] * Scale[j])), row.MeanActivation, 1e-6);
            Assert.Equal((double)active.Count(t => (_roles[t] & (byte)TokenRole.Template) != 0) / active.Length, row.TemplateShare);

            double Share(TokenRole role)
                => (double)active.Count(t => (_roles[t] & (byte)role) != 0) / _roles.Count(r => (r & (byte)role) != 0);
        }
    }

    [Fact]
    public void The_table_reads_back_bit_for_bit()
    {
        LatentCounts counts = new(Latents);
        Batches(20, (code, scale, roles) => counts.Add(code, scale, roles));
        LatentRow[] rows = [.. Enumerable.Range(0, Latents).Select(j => counts.Row(j, new LatentVectors(j / 3.0, 2, j / 16.0, -0.1), new LatentVectors(0, 0, double.NaN, 0)))];
        string path = Path.Combine(_folder, LatentTable.FileName);
        LatentTable.Write(path, rows);
        Assert.Equal(rows, LatentTable.Read(path));

        string[] columns = File.ReadLines(path).First().Split(',');
        string[] last = File.ReadLines(path).Last().Split(',');
        Assert.Equal("Chat only", last[Array.IndexOf(columns, "tag")]);
        Assert.Equal("1", last[Array.IndexOf(columns, "delta_norm")]);
        Assert.Equal("0", last[Array.IndexOf(columns, "dec_norm_diff")]);
        Assert.Equal("", last[Array.IndexOf(columns, "enc_norm_diff")]);

        File.WriteAllLines(path, File.ReadAllLines(path).Where((_, i) => i != 3));
        Assert.Contains("line 4 is not the row of latent 2", Assert.Throws<DiffractException>(() => LatentTable.Read(path)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_scan_lays_documents_end_to_end()
    {
        TokenDocument[] documents = [Document(0, 0, 5), Document(1, 5, 9), Document(3, 30, 4), Document(4, 34, 1)];
        Matrix buffer = Matrix.Host(6, 2);
        using IBuffer owner = buffer.Buffer;
        List<(long First, int Count)> reads = [];
        DocumentScan scan = new(Read, [0, 1, 2], buffer);
        List<float> rows = [];
        foreach (ScanBatch batch in scan.Batches(documents))
        {
            foreach (ScanPiece piece in batch.Pieces)
            {
                for (int t = 0; t < piece.Count; t++)
                {
                    Assert.Equal(piece.Document.Start + piece.FirstKept + t, batch.Acts_BE.Row(piece.FirstRow + t)[0]);
                }
            }

            rows.AddRange(Enumerable.Range(0, batch.Acts_BE.Rows).Select(b => batch.Acts_BE.Row(b)[0]));
        }

        Assert.Equal([.. Enumerable.Range(0, 14).Select(i => (float)i), 30, 31, 32, 33, 34], rows);
        Assert.Equal([(0, 6), (6, 6), (12, 2), (30, 4), (34, 1)], reads);

        void Read(long first, int count, Matrix acts_BE)
        {
            reads.Add((first, count));
            for (int i = 0; i < count; i++)
            {
                acts_BE.Row(i).Fill(first + i);
            }
        }
    }

    [Fact]
    public void A_scan_names_the_token_that_is_not_a_number()
    {
        Matrix buffer = Matrix.Host(6, 11);
        using IBuffer owner = buffer.Buffer;
        DocumentScan scan = new((first, count, acts_BE) => acts_BE.Row(count - 1)[10] = float.NaN, [0, 4, 11], buffer);
        DiffractException e = Assert.Throws<DiffractException>(() => scan.Batches([Document(7, 0, 4)]).ToList());
        Assert.Contains("model 1 are not finite at token 3 of document 7", e.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(0, float.NaN)]
    [InlineData(18, float.PositiveInfinity)]
    [InlineData(9, float.NegativeInfinity)]
    public void Values_that_are_not_finite_are_found(int at, float value)
    {
        float[] row = [.. Enumerable.Repeat(float.MaxValue, 19)];
        Assert.Null(FiniteRows.FirstBad(row));
        row[at] = value;
        Assert.Equal(at, FiniteRows.FirstBad(row));
    }

    static TokenDocument Document(int number, long start, int length) => new(number, start, length, TextSource.Document, Split.HeldOut, "d", []);

    LatentActivations Write(long sortBytes, int batch)
    {
        using (LatentActivationsWriter writer = new(_folder, Latents, _documents, sortBytes: sortBytes))
        {
            Batches(batch, (code, scale, roles) => writer.Add(code, scale, roles));
            FileSeal seal = writer.Save(TestContext.Current.CancellationToken);
            Assert.Equal(seal, AtomicFile.Seal(Path.Combine(_folder, LatentActivations.FileName)));
        }

        return LatentActivations.OpenFile(Path.Combine(_folder, LatentActivations.FileName));
    }

    void Batches(int size, Action<SparseCode, Matrix, byte[]> add)
    {
        Matrix scale = Matrix.Host(1, Latents);
        using IBuffer owner = scale.Buffer;
        Scale.CopyTo(scale.Row(0));
        for (int first = 0; first < _code_BL.Length; first += size)
        {
            int end = Math.Min(first + size, _code_BL.Length);
            using SparseCode code = SparseCodes.From(_code_BL[first..end]);
            add(code, scale, _roles[first..end]);
        }
    }
}
