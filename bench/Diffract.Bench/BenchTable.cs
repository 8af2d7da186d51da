using System.Globalization;
using System.Text;

namespace Diffract.Bench;

/// <summary>A markdown table that goes to the terminal line by line and, with <c>--save</c>, to a file.</summary>
sealed class BenchTable
{
    readonly StringBuilder _text = new();

    public string Text => _text.ToString();

    public void Note(string line) => Write(line + "\n");

    public void Header(params string[] names) => Write($"| {string.Join(" | ", names)} |\n|{string.Concat(Enumerable.Repeat("---|", names.Length))}");

    public void Row(params object[] cells) => Write($"| {string.Join(" | ", cells.Select(Cell))} |");

    static string Cell(object cell) => cell switch
    {
        double number => number.ToString(Math.Abs(number) < 10 ? "F3" : "F1", CultureInfo.InvariantCulture),
        IFormattable other => other.ToString(null, CultureInfo.InvariantCulture),
        _ => cell.ToString() ?? "",
    };

    void Write(string line)
    {
        Console.WriteLine(line);
        _text.AppendLine(line);
    }
}
