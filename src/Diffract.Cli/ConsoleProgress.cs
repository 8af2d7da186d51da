using System.Diagnostics;
using System.Globalization;
using Diffract.Reports;
using Diffract.Runs;
using Spectre.Console;

namespace Diffract.Cli;

/// <summary>
/// The one place that writes to the terminal. Results and plans go to standard output; the moving line and warnings to standard error, the moving line only when that is a terminal
/// (else a line every ten seconds).
/// </summary>
sealed class ConsoleProgress : IProgressSink
{
    readonly bool _terminal = !Console.IsErrorRedirected;
    readonly Lock _lock = new();
    string? _what;
    Stopwatch _clock = Stopwatch.StartNew();
    long _first;
    double _shownAt;
    int _width;

    public void Line(string text)
    {
        lock (_lock)
        {
            Clear();
            Console.Out.WriteLine(text);
        }
    }

    public void Warn(string text)
    {
        lock (_lock)
        {
            Clear();
            Console.Error.WriteLine("warning: " + text);
        }
    }

    public void Report(string what, long done, long total, string unit, string? note = null)
    {
        lock (_lock)
        {
            if (what != _what)
            {
                (_what, _first, _clock, _shownAt) = (what, done, Stopwatch.StartNew(), -60);
            }

            double seconds = _clock.Elapsed.TotalSeconds;
            if (seconds - _shownAt < (_terminal ? 0.2 : 10) && done < total)
            {
                return;
            }

            _shownAt = seconds;
            double rate = seconds > 0 ? (done - _first) / seconds : 0;
            string speed = rate > 0 ? string.Create(CultureInfo.InvariantCulture, $", {rate:N0} {unit}/s") : "";
            string left = rate > 0 && total > done ? $", {Time((total - done) / rate)} left" : "";
            string line = string.Create(CultureInfo.InvariantCulture, $"{what}: {done:N0} of {total:N0} {unit}{speed}{left}{(note is null ? "" : ", " + note)}");
            if (_terminal)
            {
                Clear();
                Console.Error.Write(line);
                _width = line.Length;
            }
            else
            {
                Console.Error.WriteLine(line);
            }
        }
    }

    public void Done(string what, string summary)
    {
        lock (_lock)
        {
            Clear();
            Console.Out.WriteLine($"{what}: {summary}");
            _what = null;
        }
    }

    /// <summary>The end of a run: a row a crosscoder, what was found, and the path of the page last.</summary>
    public static void Show(ReportOutcome outcome)
    {
        Show(outcome.Table.Header, outcome.Table.Rows);
        foreach (string line in outcome.Table.Lines)
        {
            Console.Out.WriteLine(line);
        }

        Console.Out.WriteLine(outcome.Path);
    }

    /// <summary>A table; numbers stand at the right.</summary>
    public static void Show(IReadOnlyList<string> header, IReadOnlyList<IReadOnlyList<string>> rows)
    {
        IAnsiConsole console = AnsiConsole.Create(new AnsiConsoleSettings { Out = new AnsiConsoleOutput(Console.Out) });
        if (Console.IsOutputRedirected)
        {
            // Nobody's window: leave the table as wide as it is.
            console.Profile.Width = 200;
        }

        Table table = new() { Border = TableBorder.Simple };
        table.AddColumns([.. header.Select((h, i) => i == 0 ? new TableColumn(Markup.Escape(h)) : new TableColumn(Markup.Escape(h)).RightAligned())]);
        foreach (IReadOnlyList<string> row in rows)
        {
            table.AddRow([.. row.Select(Markup.Escape)]);
        }

        console.Write(table);
    }

    void Clear()
    {
        if (_terminal && _width > 0)
        {
            Console.Error.Write("\r" + new string(' ', _width) + "\r");
            _width = 0;
        }
    }

    static string Time(double seconds) => seconds switch
    {
        < 90 => $"{seconds:F0} s",
        < 5400 => $"{seconds / 60:F0} min",
        _ => (seconds / 3600).ToString("F1", CultureInfo.InvariantCulture) + " h",
    };
}
