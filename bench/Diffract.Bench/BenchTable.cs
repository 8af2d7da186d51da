using System.Globalization;
using System.Text;
using Diffract.Cpu;

namespace Diffract.Bench;

/// <summary>A markdown table that goes to the terminal line by line and, with <c>--save</c>, to a file.</summary>
sealed class BenchTable
{
    readonly StringBuilder _text = new();

    /// <summary>The checkout that this was built in.</summary>
    public static string Root => FindRoot()?.FullName ?? throw new InvalidOperationException("the benchmark does not run from inside the checkout");

    public void Note(string line) => Write(line);

    public void Header(params string[] names) => Write($"| {string.Join(" | ", names)} |\n|{string.Concat(Enumerable.Repeat("---|", names.Length))}");

    public void Row(params object[] cells) => Write($"| {string.Join(" | ", cells.Select(Cell))} |");

    /// <summary>Writes bench/results/&lt;processor&gt;/&lt;name&gt;.md of the repository that this was built in.</summary>
    public void Save(string name, string versions)
    {
        DirectoryInfo? root = FindRoot();
        string processor = Processor.Name;
        string folder = Path.Combine(root?.FullName ?? ".", "bench", "results", string.Concat(processor.Select(c => char.IsAsciiLetterOrDigit(c) ? c : '-')).Trim('-').ToLowerInvariant());
        Directory.CreateDirectory(folder);
        File.WriteAllText(Path.Combine(folder, name + ".md"), $"# {name}\n\n{processor}; {versions}\n\n{_text}");
        Console.WriteLine($"saved to {Path.Combine(folder, name + ".md")}");
    }

    static DirectoryInfo? FindRoot()
    {
        DirectoryInfo? root = new(AppContext.BaseDirectory);
        while (root is not null && !File.Exists(Path.Combine(root.FullName, "Diffract.slnx")))
        {
            root = root.Parent;
        }

        return root;
    }

    static string Cell(object cell) => cell switch
    {
        double number => number.ToString(Math.Abs(number) < 10 ? "F3" : "F1", CultureInfo.InvariantCulture),
        IFormattable other => other.ToString(null, CultureInfo.InvariantCulture),
        _ => cell.ToString() ?? "",
    };

    void Write(string line)
    {
        Console.WriteLine(line);
        _text.Append(line).Append('\n');
    }
}
