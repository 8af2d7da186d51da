using System.Globalization;
using System.Text;
using Diffract.Runs;

namespace Diffract.Latents;

/// <summary>
/// A published latent table, <c>feature_df.csv</c>: the first, unnamed column is the latent from 0; empty is NaN, booleans are True and False. Columns that nobody here knows are kept to the letter, quotes included.
/// </summary>
public sealed class FeatureTable
{
    /// <summary>Its published name.</summary>
    public const string FileName = "feature_df.csv";

    readonly List<string> _columns = [];
    readonly List<string[]> _cells = [];

    /// <param name="latents">Rows, of latents from 0 on, without columns yet.</param>
    public FeatureTable(int latents) => Latents = latents;

    /// <summary>L.</summary>
    public int Latents { get; }

    /// <summary>Names of the columns, without the first.</summary>
    public IReadOnlyList<string> Columns => _columns;

    /// <exception cref="DiffractException">No such file, no header, a column twice, rows of another length, or a first column that does not count the latents.</exception>
    public static FeatureTable Read(string path)
    {
        if (!File.Exists(path))
        {
            throw DiffractException.Argument($"{path} does not exist; wanted a latent table ({FileName})");
        }

        List<List<string>> records = Records(File.ReadAllText(path), path);
        if (records.Count == 0 || records[0].Count == 0 || records[0][0] is not ("" or "\"\""))
        {
            throw new DiffractException($"{path} does not begin with an unnamed column, as a latent table does; wanted the latents' numbers there");
        }

        string[] names = [.. records[0].Skip(1).Select(Plain)];
        if (names.GroupBy(n => n).FirstOrDefault(g => g.Count() > 1) is { } twice)
        {
            throw new DiffractException($"{path} has the column {twice.Key} twice; wanted each once");
        }

        FeatureTable table = new(records.Count - 1);
        string[][] cells = [.. names.Select(_ => new string[table.Latents])];
        for (int i = 0; i < table.Latents; i++)
        {
            List<string> record = records[i + 1];
            if (record.Count != names.Length + 1 || Plain(record[0]) != i.ToString(CultureInfo.InvariantCulture))
            {
                throw new DiffractException($"{path}: record {i + 1} is not the row of latent {i} with {names.Length} columns; changed or damaged");
            }

            for (int c = 0; c < names.Length; c++)
            {
                cells[c][i] = record[c + 1];
            }
        }

        table._columns.AddRange(names);
        table._cells.AddRange(cells);
        return table;
    }

    public bool Has(string column) => _columns.Contains(column);

    /// <summary>The cells of a column as they stand.</summary>
    /// <exception cref="DiffractException">No such column; the message names those that there are.</exception>
    public string[] Text(string column)
        => _columns.IndexOf(column) is >= 0 and int c ? _cells[c] : throw new DiffractException($"the latent table has no column {column}; it has {string.Join(", ", _columns)}");

    /// <summary>A column of numbers; empty is NaN, True and False are 1 and 0.</summary>
    public double[] Numbers(string column) => [.. Text(column).Select((text, i) => text switch
    {
        "True" => 1,
        "False" => 0,
        _ => CsvNumbers.Read(Plain(text), $"column {column}", i + 2),
    })];

    /// <summary>Sets a column: in its place where there is one, else behind the others.</summary>
    public void Set(string column, IEnumerable<double> values) => Set(column, values.Select(CsvNumbers.Write));

    public void Set(string column, IEnumerable<bool> values) => Set(column, values.Select(v => v ? "True" : "False"));

    public void Set(string column, IEnumerable<string> cells)
    {
        string[] all = [.. cells];
        if (all.Length != Latents)
        {
            throw new ArgumentException($"column {column} has {all.Length} values for {Latents} latents", nameof(cells));
        }

        if (_columns.IndexOf(column) is >= 0 and int c)
        {
            _cells[c] = all;
            return;
        }

        _columns.Add(column);
        _cells.Add(all);
    }

    public FileSeal Write(string path)
    {
        StringBuilder text = new();
        foreach (string column in _columns)
        {
            text.Append(',').Append(column.AsSpan().IndexOfAny(",\"\n\r") >= 0 ? $"\"{column.Replace("\"", "\"\"", StringComparison.Ordinal)}\"" : column);
        }

        text.Append('\n');
        for (int i = 0; i < Latents; i++)
        {
            text.Append(CultureInfo.InvariantCulture, $"{i}");
            foreach (string[] cells in _cells)
            {
                text.Append(',').Append(cells[i]);
            }

            text.Append('\n');
        }

        return AtomicFile.WriteText(path, text.ToString());
    }

    /// <summary>A field without its quotes.</summary>
    static string Plain(string field) => field is ['"', .., '"'] ? field[1..^1].Replace("\"\"", "\"", StringComparison.Ordinal) : field;

    /// <summary>Fields to the letter, by RFC 4180: commas and line ends inside quotes do not end a field.</summary>
    static List<List<string>> Records(string text, string path)
    {
        List<List<string>> records = [];
        List<string> record = [];
        bool quoted = false;
        int start = 0;
        for (int i = 0; i <= text.Length; i++)
        {
            if (i < text.Length && text[i] == '"')
            {
                quoted = !quoted;
            }

            if (i < text.Length && (quoted || text[i] is not (',' or '\n')))
            {
                continue;
            }

            if (i == text.Length && record.Count == 0 && start == i)
            {
                break;
            }

            int end = i > start && text[i - 1] == '\r' && (i == text.Length || text[i] == '\n') ? i - 1 : i;
            record.Add(text[start..end]);
            start = i + 1;
            if (i == text.Length || text[i] == '\n')
            {
                records.Add(record);
                record = [];
            }
        }

        return quoted ? throw new DiffractException($"{path} ends inside quotes; changed or cut off") : records;
    }
}
