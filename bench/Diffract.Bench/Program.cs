Console.Error.WriteLine("usage: Diffract.Bench <bench>");
return 2;
